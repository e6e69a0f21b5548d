package revocation

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// snapshotFileBuffer gathers small writes; larger ones pass through.
	snapshotFileBuffer = 256 << 10
	// tempSuffix and tempRandom make the names of temporary files: .<name>.<32 hex digits>.tmp, in the snapshot's own folder.
	tempSuffix = ".tmp"
	tempRandom = 16
)

// SnapshotFile keeps the snapshots in one file. The zero path isn't usable.
//
// Save writes a temporary file beside it with mode 0600, syncs it to the disk and renames it into place, so that neither a crash nor a power
// failure, a full disk or another process that saves to the same path leaves a torn file. It needs room for two snapshots, and a folder that is
// there and that this user may write to. What writers that crashed have left is removed by a later Save; a file that somebody is still writing isn't.
//
// Open refuses a file that somebody else could have written: whoever can change a snapshot can take revocations out of it. A file that is
// replaced while it is read is read to its old end. On Windows, where a mode tells nothing of that, the folder's rights have to suffice, and a
// Save fails while somebody reads.
//
// The context is looked at between writes: a system call that hangs, as on a network drive that is away, isn't interrupted.
func SnapshotFile(path string) Snapshots { return snapshotFile{path} }

type snapshotFile struct{ path string }

func (s snapshotFile) String() string { return "file:" + s.path }

func (s snapshotFile) Open(ctx context.Context) (io.ReadCloser, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	f, err := openNonblocking(s.path)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		err = s.suspect(info)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// suspect returns why a file that was opened mustn't be believed, or nil.
func (s snapshotFile) suspect(info os.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("the snapshot %s isn't a regular file (%v): name another path, or remove it", s.path, info.Mode().Type())
	}
	if why := writableByOthers(info); why != "" {
		return fmt.Errorf("the snapshot %s %s, so others could take revocations out of it: remove it, or if you know who wrote it, give it to this process's user with mode 0600",
			s.path, why)
	}
	return nil
}

func (s snapshotFile) Save(ctx context.Context, write func(io.Writer) error) error {
	s.removeStale(time.Now())
	f, err := s.createTemp()
	if err != nil {
		return fmt.Errorf("save the snapshot: make a file in its folder: %w", err)
	}
	// Also if write panics.
	renamed := false
	defer func() {
		if !renamed {
			_ = f.Close() // at most the second time
			_ = os.Remove(f.Name())
		}
	}()
	if err := fill(ctx, f, write); err != nil {
		return fmt.Errorf("save the snapshot %s: %w", s.path, err)
	}
	if err := os.Rename(f.Name(), s.path); err != nil {
		return fmt.Errorf("save the snapshot: put it in its place: %w", err)
	}
	renamed = true
	if err := syncFolder(filepath.Dir(s.path)); err != nil {
		return fmt.Errorf("the snapshot %s is in its place, but may not survive a power failure: sync its folder: %w", s.path, err)
	}
	return nil
}

// fill writes, syncs and closes f.
func fill(ctx context.Context, f *os.File, write func(io.Writer) error) error {
	w := bufio.NewWriterSize(untilDone{ctx, f}, snapshotFileBuffer)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// What was cancelled while it was synced isn't wanted any more.
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// untilDone writes to w until ctx is done.
type untilDone struct {
	ctx context.Context
	w   io.Writer
}

func (u untilDone) Write(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.w.Write(p)
}

// createTemp makes a file that nobody else has, and marks it as being written.
func (s snapshotFile) createTemp() (*os.File, error) {
	random := make([]byte, tempRandom)
	_, _ = rand.Read(random) // never fails
	f, err := os.OpenFile(s.tempPrefix()+hex.EncodeToString(random)+tempSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := markWritten(f); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// tempPrefix is how the paths of its temporary files begin.
func (s snapshotFile) tempPrefix() string {
	return filepath.Join(filepath.Dir(s.path), "."+filepath.Base(s.path)+".")
}

// removeStale removes what writers of this snapshot that are gone have left. What can't be removed costs only room.
func (s snapshotFile) removeStale(now time.Time) {
	dir, prefix := filepath.Split(s.tempPrefix())
	if dir == "" {
		dir = "."
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		random, ours := strings.CutPrefix(e.Name(), prefix)
		random, temp := strings.CutSuffix(random, tempSuffix)
		if _, err := hex.DecodeString(random); !ours || !temp || err != nil || len(random) != 2*tempRandom || !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		// By the time of the last write, so that one that was just made and isn't marked yet is left alone.
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > staleAfter && !beingWritten(path) {
			_ = os.Remove(path)
		}
	}
}
