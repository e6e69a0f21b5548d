package revocation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"time"

	"github.com/curfewhq/curfew/events"
	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

// snapshotTimeout bounds reading or writing one snapshot.
const snapshotTimeout = 2 * time.Minute

// SnapshotInfo tells of one snapshot.
type SnapshotInfo struct {
	// Stream identifies the stream as its server does ([Head].Made), and Position is the last event of it that is in the snapshot for sure.
	Stream   string
	Position uint64
	// HashKey is the key of its fingerprints: a stream that has another ([Head].HashKey) can't be begun from it.
	HashKey HashKey
	// Entries counts sessions, and users, devices, clients and tenants with cutoffs.
	Entries int
	// Bytes is the snapshot's length.
	Bytes int64
}

// Save puts a snapshot of what the replica holds into to. It holds up no reader, and the writer for less than a millisecond at a time. It holds
// fingerprints and no ids; but also the key of the fingerprints ([HashKey]), with which whoever can read it can tell whether an id that they know is
// revoked, and choose ids that are taken for others. Before anything was applied it returns ErrNothingApplied.
//
// It is safe for concurrent use; several calls save one after the other. Nothing that has expired is forgotten meanwhile, so a place that never answers
// costs memory until ctx ends. Hooks tell of it as of the replica's own saving.
func (r *Replica) Save(ctx context.Context, to Snapshots) (SnapshotInfo, error) {
	began := time.Now()
	select {
	case r.saving <- struct{}{}:
	case <-ctx.Done():
		return SnapshotInfo{}, context.Cause(ctx)
	}
	info, err := r.save(ctx, to)
	<-r.saving
	switch {
	case err == nil && r.cfg.Hooks.SnapshotSaved != nil:
		r.cfg.Hooks.SnapshotSaved(to.String(), info, time.Since(began))
	case err != nil && !errors.Is(err, ErrNothingApplied) && r.cfg.Hooks.SnapshotFailed != nil:
		r.cfg.Hooks.SnapshotFailed(to.String(), err)
	}
	return info, err
}

func (r *Replica) save(ctx context.Context, to Snapshots) (SnapshotInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	// The header is made before anything is copied, so that all up to its position is in what is copied. What is applied meanwhile may be in it
	// too: to apply it once more changes nothing.
	set := r.set.Load()
	h, err := r.header(set)
	for err == nil && r.set.Load() != set {
		// It was replaced meanwhile, and the header may be the other's.
		set = r.set.Load()
		h, err = r.header(set)
	}
	if err != nil {
		return SnapshotInfo{}, err
	}
	info := h.info()
	err = to.Save(ctx, func(w io.Writer) error {
		counted := &counter{to: w}
		err := set.write(ctx, counted, &h)
		info.Bytes = counted.n
		return err
	})
	if err != nil {
		return SnapshotInfo{}, fmt.Errorf("save a snapshot to %s: %w", to, err)
	}
	return info, nil
}

type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += int64(n)
	return n, err
}

func (r *Replica) header(set *set) (header, error) {
	r.mu.Lock()
	last := r.last
	r.mu.Unlock()
	if last.at.Position == 0 {
		return header{}, ErrNothingApplied
	}
	h := header{
		key: set.hash.Key(), stream: last.stream, position: last.at.Position, stored: last.at.Stored.UnixNano(), upTo: r.position.Load(),
		maxAge: r.cfg.MaxAge.Milliseconds(), leeway: r.cfg.Leeway.Milliseconds(), tick: set.clock.ms, highest: set.highest.Load(), swept: r.swept.Load(),
		skipped: r.leftOut.Load(),
	}
	h.sessions, h.scopes = set.size()
	return h, nil
}

// noteApplied notes the last event that was applied.
func (r *Replica) noteApplied(m mark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = m
}

// mark is an event of an incarnation of the stream.
type mark struct {
	stream string
	at     Place
}

// noteSkipped notes that a message was left out which another version may be able to read.
func (r *Replica) noteSkipped(err error) {
	var invalid *events.InvalidError
	if errors.Is(err, events.ErrUnknownType) || errors.Is(err, events.ErrUnknownVersion) || errors.As(err, &invalid) {
		r.leftOut.Store(true)
	}
}

// restore looks for a snapshot of the stream that h tells of, source after source, and returns after which position to follow: 0 if there is
// none. An error is one that isn't any snapshot's fault.
func (r *Replica) restore(ctx context.Context, h *Head) (after uint64, err error) {
	sources := r.cfg.Snapshots
	if r.cfg.SnapshotFile != "" {
		sources = append([]Snapshots{SnapshotFile(r.cfg.SnapshotFile)}, sources...)
	}
	for _, from := range sources {
		info, err := r.load(ctx, from, h)
		switch {
		case err == nil:
			if r.cfg.Hooks.SnapshotLoaded != nil {
				r.cfg.Hooks.SnapshotLoaded(from.String(), info)
			}
			return info.Position, nil
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case errors.Is(err, errUnverified):
			return 0, err
		case !errors.Is(err, fs.ErrNotExist) && r.cfg.Hooks.SnapshotRefused != nil:
			r.cfg.Hooks.SnapshotRefused(from.String(), err)
		}
	}
	return 0, nil
}

// errUnverified is why a snapshot can't be judged: the stream couldn't be asked.
var errUnverified = errors.New("the stream can't be asked whether a snapshot is its own")

func (r *Replica) load(ctx context.Context, from Snapshots, head *Head) (SnapshotInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	in, err := from.Open(ctx)
	if err != nil {
		return SnapshotInfo{}, err
	}
	defer func() { _ = in.Close() }()
	counted := &countingReader{from: in}
	h, err := readHeader(counted)
	if err != nil {
		return SnapshotInfo{}, err
	}
	if err := r.belongs(&h, head); err != nil {
		return SnapshotInfo{}, err
	}
	// Into a set of its own, so that one that turns out to be corrupt half-way leaves nothing behind.
	fresh := newSet(r.lifetimes(), h.key)
	fresh.sweptTo(max(h.swept, h.stored/1e6))
	if err := fresh.read(ctx, counted, &h); err != nil {
		return SnapshotInfo{}, err
	}
	current := r.set.Load()
	if current.empty() {
		r.set.Store(fresh)
	} else {
		current.merge(fresh)
	}
	r.leftOut.Store(h.skipped)
	// What its writer had forgotten by then stays refused by max age, whatever our clock says.
	r.raiseSwept(h.swept)
	r.noteApplied(mark{h.stream, h.place()})
	info := h.info()
	sessions, scopes := fresh.size()
	info.Entries, info.Bytes = sessions+scopes, counted.n
	return info, nil
}

type countingReader struct {
	from io.Reader
	n    int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.n += int64(n)
	return n, err
}

// belongs returns why a snapshot isn't one to begin this stream from, or nil.
func (r *Replica) belongs(h *header, head *Head) error {
	current := r.set.Load()
	switch {
	case h.stream != head.made():
		return fmt.Errorf("%w: it is of stream %q, and this is %q", ErrSnapshotForeign, h.stream, head.made())
	case head.HashKey != [fp.KeySize]byte{} && h.key != head.HashKey, !current.empty() && h.key != current.hash.Key():
		return fmt.Errorf("%w: its fingerprints have another key", ErrSnapshotForeign)
	case h.maxAge != r.cfg.MaxAge.Milliseconds() || h.leeway != r.cfg.Leeway.Milliseconds() || h.tick != current.clock.ms:
		return fmt.Errorf("%w: its writer's max age and leeway were %v and %v, and this replica's are %v and %v", ErrSnapshotForeign,
			time.Duration(h.maxAge)*time.Millisecond, time.Duration(h.leeway)*time.Millisecond, r.cfg.MaxAge, r.cfg.Leeway)
	case h.position > head.Last:
		return fmt.Errorf("%w: it was taken at position %d, and the stream ends at %d", ErrSnapshotForeign, h.position, head.Last)
	case h.position < head.First:
		return fmt.Errorf("%w: it was taken at position %d, and the stream begins at %d", ErrSnapshotTooOld, h.position, head.First)
	case h.swept > time.Now().Add(r.cfg.Leeway).UnixMilli():
		// To go on from there would be to call every session past max age that is by a clock which is wrong.
		return fmt.Errorf("%w: its writer's clock, or this one, is wrong: it forgot what had expired by %v", ErrSnapshotForeign,
			time.UnixMilli(h.swept).UTC().Format(time.RFC3339))
	case head.Holds == nil:
		return fmt.Errorf("%w: the feed can't tell whether it is the stream's", ErrSnapshotForeign)
	}
	same, err := head.Holds(h.place())
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errUnverified, err)
	case !same:
		return fmt.Errorf("%w: the stream holds another message at position %d, so it was put back to an earlier state", ErrSnapshotForeign, h.position)
	}
	return nil
}

// keepSaved saves to the replica's own file now and then, if there is one, unless nothing was applied meanwhile.
func (r *Replica) keepSaved(ctx context.Context) {
	if r.cfg.SnapshotFile == "" {
		return
	}
	to := SnapshotFile(r.cfg.SnapshotFile)
	var saved uint64
	for {
		// Jitter, for processes that were started together.
		pause := r.cfg.SnapshotInterval*9/10 + mathrand.N(r.cfg.SnapshotInterval/5+1)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		r.mu.Lock()
		last := r.last.at.Position
		r.mu.Unlock()
		if last == 0 || last == saved {
			continue
		}
		if info, err := r.Save(ctx, to); err == nil {
			saved = info.Position
		}
	}
}
