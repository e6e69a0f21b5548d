package ledger

import (
	"context"
	"errors"
	"slices"
)

const (
	// firstWindow is how many positions are read at first from the end.
	firstWindow = 2_000
	// enough of a window that held so many entries, the next isn't larger.
	enough = 500
	// heldBytes bounds what is held of a window.
	heldBytes = 8 << 20
)

// ReadBack calls fn for the entries of a range from its end to its beginning. It reads windows of the range, one in front of the other, and holds what keep wants of one of them; nil wants
// all. Of a window with more than some megabytes it holds what lies nearest to the end, and reads the rest again; so keep is called in the order of the ledger within a window, and may be asked about an entry
// more than once. ReadBack returns what Read does. A range that follows can't be read back.
func (r *Reader) ReadBack(ctx context.Context, q Range, keep func(Entry) bool, fn func(Entry) error) error {
	if q.Follow || q.New {
		return errors.New("read a range back: it has no end")
	}
	begin, end, err := r.bounds(ctx, q)
	if err != nil {
		return err
	}
	for window := uint64(firstWindow); end > begin; {
		part := q
		part.Before, part.After = end, max(begin, end-min(end, window))-1
		var held []Entry
		size, left := 0, false
		err := r.Read(ctx, part, func(e Entry) error {
			if keep != nil && !keep(e) {
				return nil
			}
			held = append(held, e)
			for size += len(e.Data); size > heldBytes && len(held) > 1; left = true {
				size -= len(held[0].Data)
				held[0] = Entry{} // lets its memory go
				held = held[1:]
			}
			return nil
		}, nil)
		if err != nil {
			return err
		}
		for _, e := range slices.Backward(held) {
			if err := fn(e); errors.Is(err, ErrStop) {
				return nil
			} else if err != nil {
				return err
			}
		}
		if left {
			window, end = end-held[0].Position, held[0].Position
			continue
		}
		end = part.After + 1
		if len(held) < enough {
			window *= 2
		}
	}
	return nil
}

// bounds returns the first position of a range, at the earliest, and that behind its last.
func (r *Reader) bounds(ctx context.Context, q Range) (begin, end uint64, err error) {
	head, err := r.Head(ctx)
	if err != nil {
		return 0, 0, err
	}
	begin, end = max(q.After+1, head.First), head.Last+1
	if q.Before > 0 {
		end = min(end, q.Before)
	}
	if q.Since.IsZero() {
		return begin, end, nil
	}
	first := end
	err = r.Read(ctx, q, func(e Entry) error {
		first = min(first, e.Position)
		return ErrStop
	}, nil)
	return max(begin, first), end, err
}
