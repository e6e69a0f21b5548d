package target

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"regexp"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/curfewhq/curfew/internal/exportfile"
)

// fileForm is a name that leads nowhere else, and isn't hidden.
var fileForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// file writes a file. Each Flush ends a member of the gzip file, so that what is behind the last checkpoint can be cut off: a gzip file of several members is read like one.
type file struct {
	folder  *os.Root
	f       *os.File
	replay  string
	name    string
	partial string
	size    int64
	buf     *bufio.Writer
	zip     *gzip.Writer // nil between a Flush and the next event
	sum     hash.Hash
	tally   exportfile.Manifest
	sha256  string
}

// openFile opens the part that a replay has written, as far as the checkpoint goes. Only regular files in the folder are opened, whatever links are there.
func openFile(folder, replay, name string, from *Checkpoint) (Target, error) {
	if folder == "" {
		return nil, final{errors.New("target file: the process that runs replays has no folder: set replay_folder for all with the role replay, and resume it")}
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("target file: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("target file: %w", err)
	}
	if name == "" {
		name = replay + ".ndjson.gz"
	}
	t := &file{folder: root, replay: replay, name: name, partial: "." + replay + ".partial", sum: sha256.New()}
	if err := t.open(from); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *file) open(from *Checkpoint) (err error) {
	t.size = from.Result.Bytes
	if from.Tally != nil {
		t.tally = *from.Tally
		state, ok := t.sum.(encoding.BinaryUnmarshaler)
		if !ok || state.UnmarshalBinary(from.Sum) != nil {
			return fmt.Errorf("target file: %w: its checkpoint is of another version", ErrBeginAnew)
		}
	}
	if err := t.anew(); err != nil {
		return fmt.Errorf("target file: %w", err)
	}
	t.buf = bufio.NewWriterSize(t.f, 256<<10)
	return nil
}

// anew opens a new file with what the last one has up to the checkpoint, and puts it in its place. A process that was stopped, and goes on when another has its replay, so writes to a file that nobody sees any more:
//
//  1. A has unflushed events, and is stopped. 2. B opens the file of A's last checkpoint, and goes on. 3. A goes on, flushes, and hears that it has the replay no more.
func (t *file) anew() (err error) {
	next := "." + t.replay + ".next"
	if err := t.folder.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if t.f, err = t.folder.OpenFile(next, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	if err = t.copyOld(); err == nil {
		err = t.f.Sync()
	}
	if err == nil && !t.has(next) {
		err = errNotTheFile
	}
	if err == nil {
		err = t.folder.Rename(next, t.partial)
	}
	if err != nil && t.has(next) {
		err = errors.Join(err, t.folder.Remove(next))
	}
	return err
}

// copyOld copies what was written up to the checkpoint.
func (t *file) copyOld() error {
	if t.size == 0 {
		return nil
	}
	old, err := t.folder.OpenFile(t.partial, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return errNotThere
	}
	if err != nil {
		return err
	}
	defer old.Close()
	if _, err = io.CopyN(t.f, old, t.size); errors.Is(err, io.EOF) {
		return errNotThere
	}
	return err
}

var (
	errNotThere   = fmt.Errorf("%w: another process has written it, or somebody has removed it", ErrBeginAnew)
	errNotTheFile = errors.New("another process writes it by now")
)

// has reports whether a name is that of the open file.
func (t *file) has(name string) bool {
	named, err := t.folder.Lstat(name)
	if err != nil {
		return false
	}
	open, err := t.f.Stat()
	return err == nil && os.SameFile(named, open)
}

// member begins a member of the gzip file. The first one tells whose file it is.
func (t *file) member() io.Writer {
	if t.zip == nil {
		t.zip = gzip.NewWriter(t.buf)
		t.zip.Comment = t.replay
	}
	return t.zip
}

func (t *file) Send(_ context.Context, m Message) error {
	line, err := json.Marshal(record{Position: m.Position, Stored: m.Stored.UTC(), Event: m.Data})
	if err != nil {
		return fmt.Errorf("target file: %w", err)
	}
	line = append(line, '\n')
	if _, err := io.MultiWriter(t.member(), t.sum).Write(line); err != nil {
		return fmt.Errorf("target file: %w", err)
	}
	t.tally.Count(m.Position, m.Stored.UTC())
	return nil
}

func (t *file) Flush(context.Context) error {
	if t.zip == nil {
		return nil
	}
	err := t.zip.Close()
	t.zip = nil
	if err == nil {
		err = t.buf.Flush()
	}
	if err == nil {
		err = t.f.Sync()
	}
	if err == nil {
		t.size, err = t.f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return fmt.Errorf("target file: %w", err)
	}
	return nil
}

// Finish writes the manifest and gives the file its name, which nobody else's file may have.
func (t *file) Finish(ctx context.Context) error {
	m := t.tally.Sealed(t.sum.Sum(nil), time.Now())
	line, err := json.Marshal(exportfile.Line{Manifest: &m})
	if err != nil {
		return fmt.Errorf("target file: %w", err)
	}
	if _, err := t.member().Write(append(line, '\n')); err != nil {
		return fmt.Errorf("target file: %w", err)
	}
	if err := t.Flush(ctx); err != nil {
		return err
	}
	if t.taken() {
		return final{fmt.Errorf("target file: %s: %w, and isn't this replay's: move it, then resume", t.name, fs.ErrExist)}
	}
	if !t.has(t.partial) {
		return fmt.Errorf("target file: %w", errNotTheFile)
	}
	if err := t.folder.Rename(t.partial, t.name); err != nil {
		return fmt.Errorf("target file: %w", err)
	}
	t.sha256 = m.SHA256
	return nil
}

// taken reports whether there is a file of that name that isn't this replay's own: a process that was killed after it had finished the file may not have written down that it had.
func (t *file) taken() bool {
	if _, err := t.folder.Lstat(t.name); errors.Is(err, fs.ErrNotExist) {
		return false
	}
	f, err := t.folder.Open(t.name)
	if err != nil {
		return true
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	return err != nil || zip.Comment != t.replay
}

func (t *file) Result() Result { return Result{File: t.name, Bytes: t.size, SHA256: t.sha256} }

// Checkpoint tells what open needs to go on.
func (t *file) Checkpoint() Checkpoint {
	c := Checkpoint{Result: t.Result()}
	if state, ok := t.sum.(encoding.BinaryMarshaler); ok && t.tally.Events > 0 {
		tally := t.tally
		c.Tally = &tally
		c.Sum, _ = state.MarshalBinary() // never fails
	}
	return c
}

func (t *file) Close() {
	if t.f != nil {
		_ = t.f.Close()
	}
	_ = t.folder.Close()
}
