package revocation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// whole is a content that tells whether it is whole: a hash, and what it is the hash of.
func whole(seed byte, n int) []byte {
	body := bytes.Repeat([]byte{seed}, n)
	sum := sha256.Sum256(body)
	return append(sum[:], body...)
}

func isWhole(b []byte) bool {
	if len(b) < sha256.Size {
		return false
	}
	sum := sha256.Sum256(b[sha256.Size:])
	return bytes.Equal(sum[:], b[:sha256.Size])
}

// writes returns a write function that writes b in pieces.
func writes(b []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		for piece := range slices.Chunk(b, 10_000) {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
		return nil
	}
}

func readSnapshot(t *testing.T, s Snapshots) []byte {
	t.Helper()
	r, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func save(t *testing.T, s Snapshots, b []byte) {
	t.Helper()
	if err := s.Save(t.Context(), writes(b)); err != nil {
		t.Fatal(err)
	}
}

// names lists the folder of a snapshot.
func names(t *testing.T, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// hasOnly fails unless the folder of path holds path and nothing else.
func hasOnly(t *testing.T, path string) {
	t.Helper()
	if got := names(t, path); !slices.Equal(got, []string{filepath.Base(path)}) {
		t.Errorf("the folder holds %q, want the snapshot alone", got)
	}
}

func TestSnapshotFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.snapshot")
	s := SnapshotFile(path)
	if got := s.String(); got != "file:"+path {
		t.Errorf("String() = %q", got)
	}
	if _, err := s.Open(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open without a snapshot = %v, want fs.ErrNotExist", err)
	}
	for i, n := range []int{3_000_000, 0, 70_000} {
		want := whole(byte(i), n)
		save(t, s, want)
		if got := readSnapshot(t, s); !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, want the %d that were saved", len(got), len(want))
		}
		hasOnly(t, path)
	}
}

// A path without a folder lies in the working one.
func TestSnapshotFileInTheWorkingFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	stale := ".r.0123456789abcdef0123456789abcdef.tmp"
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * staleAfter)
	if err := os.Chtimes(stale, long, long); err != nil {
		t.Fatal(err)
	}
	save(t, SnapshotFile("r"), whole(1, 10))
	hasOnly(t, "r")
}

func TestSnapshotFileKeepsTheOldOne(t *testing.T) {
	fault := errors.New("fault")
	// tests are given the cancel of the Save's context.
	tests := []struct {
		name  string
		write func(cancel func()) func(io.Writer) error
	}{
		{name: "write fails at once", write: func(func()) func(io.Writer) error {
			return func(io.Writer) error { return fault }
		}},
		{name: "write fails at its end", write: func(func()) func(io.Writer) error {
			return func(w io.Writer) error { return errors.Join(writes(whole(2, 1_000_000))(w), fault) }
		}},
		{name: "cancelled in the middle", write: func(cancel func()) func(io.Writer) error {
			return func(w io.Writer) error {
				_, _ = w.Write(make([]byte, 1_000_000))
				cancel()
				_, err := w.Write(make([]byte, 1_000_000))
				return err
			}
		}},
		{name: "cancelled in the middle, and write doesn't care", write: func(cancel func()) func(io.Writer) error {
			return func(w io.Writer) error {
				cancel()
				_, _ = w.Write(make([]byte, 1_000_000))
				return nil
			}
		}},
		{name: "cancelled at its end", write: func(cancel func()) func(io.Writer) error {
			return func(io.Writer) error { cancel(); return nil }
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "replica.snapshot")
			s := SnapshotFile(path)
			old := whole(1, 1000)
			save(t, s, old)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			err := s.Save(ctx, tt.write(func() { cancel(fault) }))
			if !errors.Is(err, fault) {
				t.Errorf("Save = %v, want the fault", err)
			}
			if got := readSnapshot(t, s); !bytes.Equal(got, old) {
				t.Error("the old snapshot is gone")
			}
			hasOnly(t, path)
		})
	}
	t.Run("write panics", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "replica.snapshot")
		s := SnapshotFile(path)
		save(t, s, whole(1, 1000))
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = s.Save(t.Context(), func(io.Writer) error { panic("oh") })
		}()
		hasOnly(t, path)
	})
	t.Run("cancelled before", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "replica.snapshot")
		s := SnapshotFile(path)
		save(t, s, whole(1, 1000))
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(fault)
		if _, err := s.Open(ctx); !errors.Is(err, fault) {
			t.Errorf("Open = %v, want the fault", err)
		}
		if err := s.Save(ctx, writes(nil)); !errors.Is(err, fault) {
			t.Errorf("Save = %v, want the fault", err)
		}
		hasOnly(t, path)
	})
	t.Run("a folder is in its place", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "replica.snapshot")
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := SnapshotFile(path).Save(t.Context(), writes(nil)); err == nil {
			t.Error("saved over a folder")
		}
		if r, err := SnapshotFile(path).Open(t.Context()); err == nil || !strings.Contains(err.Error(), "regular file") {
			t.Errorf("Open = %v, %v, want that it isn't a regular file", r, err)
		}
		hasOnly(t, path)
	})
}

func TestSnapshotFileWithoutItsFolder(t *testing.T) {
	s := SnapshotFile(filepath.Join(t.TempDir(), "missing", "replica.snapshot"))
	if err := s.Save(t.Context(), writes(nil)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Save = %v, want that the folder doesn't exist", err)
	}
	if _, err := s.Open(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open = %v, want fs.ErrNotExist", err)
	}
}

func TestSnapshotFileRemovesOnlyWhatIsStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.snapshot")
	const random = "00112233445566778899aabbccddeeff"
	tests := []struct {
		name    string
		age     time.Duration
		removed bool
	}{
		{name: ".replica.snapshot." + random + ".tmp", age: 2 * staleAfter, removed: true},
		{name: ".replica.snapshot.1" + random[1:] + ".tmp", age: staleAfter / 2},
		{name: ".replica.snapshot.2" + random[1:] + ".tmp", age: -time.Hour},
		{name: ".replica.snapshot." + random + "0.tmp", age: 2 * staleAfter},
		{name: ".replica.snapshot." + random[1:] + ".tmp", age: 2 * staleAfter},
		{name: ".replica.snapshot." + random[1:] + "g.tmp", age: 2 * staleAfter},
		{name: ".replica.snapshot." + random, age: 2 * staleAfter},
		{name: ".replica.snapshot.old." + random + ".tmp", age: 2 * staleAfter},
		{name: ".other.snapshot." + random + ".tmp", age: 2 * staleAfter},
		{name: "replica.snapshot." + random + ".tmp", age: 2 * staleAfter},
		{name: ".replica.snapshot.tmp", age: 2 * staleAfter},
		{name: "replica.snapshot.old", age: 2 * staleAfter},
	}
	for _, tt := range tests {
		file := filepath.Join(filepath.Dir(path), tt.name)
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		written := time.Now().Add(-tt.age)
		if err := os.Chtimes(file, written, written); err != nil {
			t.Fatal(err)
		}
	}
	folder := filepath.Join(filepath.Dir(path), ".replica.snapshot."+strings.Repeat("a", 32)+".tmp")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	save(t, SnapshotFile(path), whole(1, 10))
	left := names(t, path)
	for _, tt := range tests {
		if got := !slices.Contains(left, tt.name); got != tt.removed {
			t.Errorf("%s, last written %v ago: removed is %t, want %t", tt.name, tt.age, got, tt.removed)
		}
	}
	if !slices.Contains(left, filepath.Base(folder)) {
		t.Error("a folder was removed")
	}
}

// Whoever reads finds one of the snapshots that were saved, whole, however many save and read at once.
func TestSnapshotFileIsNeverTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.snapshot")
	s := SnapshotFile(path)
	save(t, s, whole(0, 1000))
	var savers, readers sync.WaitGroup
	done := make(chan struct{})
	for i := range 3 {
		savers.Go(func() {
			for n := range 25 {
				if err := s.Save(t.Context(), writes(whole(byte(i), 1+n*9_973))); err != nil {
					t.Errorf("Save: %v", err)
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					if n == 0 {
						t.Error("nothing was read meanwhile")
					}
					return
				default:
				}
				r, err := s.Open(t.Context())
				if err != nil {
					t.Errorf("Open: %v", err)
					continue
				}
				b, err := io.ReadAll(r)
				if err != nil || !isWhole(b) {
					t.Errorf("read %d bytes that aren't a snapshot (%v)", len(b), err)
				}
				_ = r.Close()
			}
		})
	}
	savers.Wait()
	close(done)
	readers.Wait()
	hasOnly(t, path)
}
