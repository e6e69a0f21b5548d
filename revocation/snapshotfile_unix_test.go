//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package revocation

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childEnv tells the test binary to be a saver: what it does, and the path.
const childEnv = "CURFEW_TEST_SAVER"

// TestSnapshotFileSaver is no test of its own: it is the child process of others.
func TestSnapshotFileSaver(t *testing.T) {
	what, path, child := strings.Cut(os.Getenv(childEnv), " ")
	if !child {
		t.Skip("only in a child process")
	}
	s := SnapshotFile(path)
	switch what {
	case "half": // writes half of a snapshot and waits
		_ = s.Save(t.Context(), func(w io.Writer) error {
			_, _ = w.Write(make([]byte, 2*snapshotFileBuffer))
			fmt.Println("half")
			_, err := io.Copy(io.Discard, os.Stdin)
			return err
		})
	case "many": // saves until it is told to stop
		stop := make(chan struct{})
		go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(stop) }()
		for n := 1; ; n++ {
			if err := s.Save(t.Context(), writes(whole(byte(n), n*9_973%1_000_000))); err != nil {
				t.Fatal(err)
			}
			if n == 1 {
				fmt.Println("saving")
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	case "full": // has a disk that is full after 1 MiB
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		err := s.Save(t.Context(), writes(whole(2, 3<<20)))
		if !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("Save = %v, want that the file is too large", err)
		}
	}
}

// saver is a child process.
type saver struct {
	*exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

func startSaver(t *testing.T, what, path string) *saver {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestSnapshotFileSaver$", "-test.count=1")
	c.Env = append(os.Environ(), childEnv+"="+what+" "+path)
	c.Stderr = os.Stderr
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	s := &saver{c, stdin, bufio.NewReader(stdout)}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return s
}

// says waits for a line.
func (s *saver) says(t *testing.T, want string) {
	t.Helper()
	if got, err := s.out.ReadString('\n'); err != nil || got != want+"\n" {
		t.Fatalf("the saver says %q (%v), want %q", got, err, want)
	}
}

// kill is kill -9.
func (s *saver) kill(t *testing.T) {
	t.Helper()
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.Wait() // killed
}

// temps lists the temporary files, and makes them look as if nobody had written to them for long.
func temps(t *testing.T, path string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"+tempSuffix))
	if err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * staleAfter)
	for _, f := range found {
		if err := os.Chtimes(f, long, long); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// A process that is killed in the middle leaves the old snapshot and a temporary file, which the next Save removes. While it lives, its file
// is left alone, however long it hasn't written.
func TestSnapshotFileOfAKilledProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.snapshot")
	s := SnapshotFile(path)
	old := whole(1, 1000)
	save(t, s, old)
	child := startSaver(t, "half", path)
	child.says(t, "half")
	if got := readSnapshot(t, s); !bytes.Equal(got, old) {
		t.Error("half of a snapshot is visible")
	}
	held := temps(t, path)
	if len(held) != 1 {
		t.Fatalf("%d temporary files while somebody saves, want 1", len(held))
	}
	save(t, s, old)
	if got := temps(t, path); !slices.Equal(got, held) {
		t.Errorf("the temporary files are %q, want %q, whose writer lives", got, held)
	}

	child.kill(t)
	if got := readSnapshot(t, s); !bytes.Equal(got, old) {
		t.Error("the old snapshot is gone")
	}
	if got := temps(t, path); !slices.Equal(got, held) {
		t.Errorf("the killed process has left %q, want %q", got, held)
	}
	save(t, s, whole(2, 1000))
	hasOnly(t, path)
}

// kill -9 at any moment.
func TestSnapshotFileOfProcessesKilledAnyTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.snapshot")
	s := SnapshotFile(path)
	for i := range 6 {
		child := startSaver(t, "many", path)
		child.says(t, "saving")
		// Another one at the same path.
		for range i + 1 {
			save(t, s, whole(byte(i), 200_000))
		}
		child.kill(t)
		if b := readSnapshot(t, s); !isWhole(b) {
			t.Fatalf("after kill -9 there are %d bytes that aren't a snapshot", len(b))
		}
	}
	temps(t, path)
	save(t, s, whole(1, 1))
	hasOnly(t, path)
}

// Several processes save to one path, and readers find whole snapshots.
func TestSnapshotFileOfSeveralProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.snapshot")
	s := SnapshotFile(path)
	children := []*saver{startSaver(t, "many", path), startSaver(t, "many", path)}
	for _, c := range children {
		c.says(t, "saving")
	}
	for range 200 {
		if b := readSnapshot(t, s); !isWhole(b) {
			t.Fatalf("%d bytes that aren't a snapshot", len(b))
		}
	}
	for _, c := range children {
		_ = c.stdin.Close()
		_, _ = io.Copy(io.Discard, c.out)
		if err := c.Wait(); err != nil {
			t.Errorf("a saver failed: %v", err)
		}
	}
	hasOnly(t, path)
}

func TestSnapshotFileOnAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.snapshot")
	s := SnapshotFile(path)
	old := whole(1, 1000)
	save(t, s, old)
	child := startSaver(t, "full", path)
	said, _ := io.ReadAll(child.out)
	if err := child.Wait(); err != nil {
		t.Errorf("the saver failed: %v\n%s", err, said)
	}
	if got := readSnapshot(t, s); !bytes.Equal(got, old) {
		t.Error("the old snapshot is gone")
	}
	hasOnly(t, path)
}

func TestSnapshotFileReplacedWhileItIsRead(t *testing.T) {
	s := SnapshotFile(filepath.Join(t.TempDir(), "replica.snapshot"))
	old, renewed := whole(1, 3_000_000), whole(2, 5_000_000)
	save(t, s, old)
	r, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	begun := make([]byte, 1000)
	if _, err := io.ReadFull(r, begun); err != nil {
		t.Fatal(err)
	}
	save(t, s, renewed)
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(append(begun, rest...), old) {
		t.Errorf("read %d bytes (%v), want the old snapshot to its end", len(begun)+len(rest), err)
	}
	if got := readSnapshot(t, s); !bytes.Equal(got, renewed) {
		t.Error("whoever opens it now doesn't get the new one")
	}
}

func TestSnapshotFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.snapshot")
	before := syscall.Umask(0)
	defer syscall.Umask(before)
	s := SnapshotFile(path)
	// One that is there and readable by others isn't written into.
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err := s.Save(t.Context(), func(w io.Writer) error {
		for _, temp := range temps(t, path) {
			if info, err := os.Stat(temp); err != nil || info.Mode() != 0o600 {
				t.Errorf("mode %v (%v) while it is written, want 0600", info.Mode(), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
}

func TestSnapshotFileRefusesWhatOthersMayWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.snapshot")
	s := SnapshotFile(path)
	save(t, s, whole(1, 10))
	for mode, ok := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o640: true, 0o644: true, 0o620: false, 0o602: false, 0o660: false, 0o666: false, 0o777: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		r, err := s.Open(t.Context())
		if (err == nil) != ok {
			t.Errorf("mode %04o: %v, want it taken: %t", mode, err, ok)
		}
		if err == nil {
			_ = r.Close()
			continue
		}
		for _, part := range []string{path, fmt.Sprintf("%04o", mode), "remove it"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("mode %04o: %q doesn't say %q", mode, err, part)
			}
		}
	}
	// It doesn't hinder the next Save.
	save(t, s, whole(2, 10))
	if !isWhole(readSnapshot(t, s)) {
		t.Error("not whole")
	}
}

func TestSnapshotFileOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	path := filepath.Join(t.TempDir(), "replica.snapshot")
	s := SnapshotFile(path)
	save(t, s, whole(1, 10))
	if err := os.Chown(path, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "another user (12345)") {
		t.Errorf("Open = %v, want that it belongs to another user", err)
	}
}

// A pipe in its place doesn't make Open wait for a writer, nor does a symbolic link lead to one.
func TestSnapshotFileIsNoPipe(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, link} {
		if _, err := SnapshotFile(path).Open(t.Context()); err == nil || !strings.Contains(err.Error(), "isn't a regular file") {
			t.Errorf("Open = %v, want that it isn't a regular file", err)
		}
	}
	// A link to a snapshot is followed.
	target := filepath.Join(dir, "real")
	save(t, SnapshotFile(target), whole(1, 10))
	_ = os.Remove(link)
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if !isWhole(readSnapshot(t, SnapshotFile(link))) {
		t.Error("not whole")
	}
}
