package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// errOther is returned when the file has another checkpoint than the stream.
var errOther = errors.New("the file has another checkpoint of this number than the stream: one of them was exchanged, or the stream was cut off")

// tailBytes of a file hold its last line: a checkpoint of 1,000 events has some 30 kB.
const tailBytes = 1 << 20

// fileCopy is the copy of the checkpoints in a file, a chain.Signed on each line. The zero fileCopy keeps nothing.
type fileCopy struct {
	path string
	// last is the last one that the file has, once it was looked at.
	last   chain.Signed
	looked bool
	// failing is true after it couldn't be written to; given is true once it has turned out to be of something else.
	failing, given bool
}

// keepCopy puts into the file what the stream has beyond it. What fails is told, and tried again with the next checkpoint; the chain goes on without.
func (c *checkpointer) keepCopy(ctx context.Context) {
	f := c.copied
	if f.path == "" || f.given {
		return
	}
	err := c.extend(ctx, f)
	log := c.log.WithField("file", f.path)
	switch {
	case err == nil:
		if f.failing {
			log.Info("checkpoints are copied to the file again")
		}
	case errors.Is(err, errOther):
		f.given = true
		log.WithError(err).WithField("number", f.last.Number).WithField(telemetry.FieldHint, "keep the file, run 'curfew audit verify --checkpoints' on it, and give audit.file another name").
			Error("checkpoints aren't copied to this file any more")
	case !f.failing && ctx.Err() == nil:
		log.WithError(err).Error("checkpoints can't be copied to the file: it is tried again with each")
	}
	f.failing = err != nil
}

func (c *checkpointer) extend(ctx context.Context, f *fileCopy) error {
	if !f.looked {
		last, err := lastLine(f.path)
		if err != nil {
			return err
		}
		f.last, f.looked = last, true
		if err := c.same(ctx, last); err != nil {
			return err
		}
	}
	var lines bytes.Buffer
	last := f.last
	add := func(s chain.Signed) error {
		last = s
		return json.NewEncoder(&lines).Encode(s)
	}
	if f.last.Number+1 == c.number {
		_ = add(chain.Signed{Number: c.number, Token: c.token}) // can't fail
	} else if err := c.eachCheckpoint(ctx, f.last.Number, add); err != nil {
		return err
	}
	if err := appendLines(f.path, lines.Bytes()); err != nil {
		f.looked = false // what has become of it must be looked at
		return err
	}
	f.last = last
	return nil
}

// same holds the last line of the file against the stream.
func (c *checkpointer) same(ctx context.Context, last chain.Signed) error {
	switch {
	case last.Number == 0:
		return nil
	case last.Number > c.number:
		return errOther
	}
	return c.eachCheckpoint(ctx, last.Number-1, func(s chain.Signed) error {
		if s.Number == last.Number && s.Token != last.Token {
			return errOther
		}
		return ledger.ErrStop
	})
}

// eachCheckpoint calls fn for each checkpoint of the stream behind a number.
func (s *Service) eachCheckpoint(ctx context.Context, after uint64, fn func(chain.Signed) error) error {
	return s.cfg.Checkpoints.Read(ctx, ledger.Range{Topics: []string{s.cfg.Topic}, After: after, Raw: true}, func(e ledger.Entry) error {
		return fn(chain.Signed{Number: e.Position, Token: string(e.Data)})
	}, nil)
}

// lastLine returns the last whole line of a file; zero if there is none. What a crash has left of a line is taken off; a file of something else stays as it is.
func lastLine(path string) (chain.Signed, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return chain.Signed{}, nil
	}
	if err != nil {
		return chain.Signed{}, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return chain.Signed{}, err
	}
	begin := max(0, size-tailBytes)
	tail := make([]byte, size-begin)
	if _, err := f.ReadAt(tail, begin); err != nil {
		return chain.Signed{}, err
	}
	end := bytes.LastIndexByte(tail, '\n')
	var last chain.Signed
	if end >= 0 {
		line := tail[bytes.LastIndexByte(tail[:end], '\n')+1 : end]
		if err := json.Unmarshal(line, &last); err != nil || last.Number == 0 {
			return chain.Signed{}, fmt.Errorf("the last line of %s is no checkpoint: %s", path, otherFile)
		}
	}
	torn := tail[end+1:]
	if len(torn) == 0 {
		return last, nil
	}
	// Before anything is cut off: the file may be somebody's who has mistyped its name.
	if !startsLine(torn) || end < 0 && begin > 0 {
		return chain.Signed{}, fmt.Errorf("%s ends in what isn't the beginning of a checkpoint: %s", path, otherFile)
	}
	return last, errors.Join(f.Truncate(size-int64(len(torn))), f.Sync())
}

const otherFile = "give audit.file the name of a file of checkpoints, or of one that isn't there"

// startsLine reports whether b may be what a crash has left of a checkpoint's line.
func startsLine(b []byte) bool {
	for _, part := range []string{`{"number":`, `,"token":"`} {
		n := min(len(b), len(part))
		if string(b[:n]) != part[:n] {
			return false
		}
		b = bytes.TrimLeft(b[n:], "0123456789")
	}
	return true
}

// appendLines returns once the disk has them.
func appendLines(path string, lines []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(lines)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
