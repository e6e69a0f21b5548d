package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// mountsEnv marks a process that may mount without anybody noticing.
const mountsEnv = "CURFEW_BUS_MAY_MOUNT"

// withMounts runs the test again in a mount namespace of its own, and reports whether this process is already there.
func withMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(mountsEnv) != "" {
		return true
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil || exec.CommandContext(t.Context(), unshare, "-rm", "true").Run() != nil {
		const why = "needs unshare -rm to mount a small disk"
		if os.Getenv("CI") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), unshare, "-rm", self, "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), mountsEnv+"=1")
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in its own mount namespace: %v\n%s", err, out)
	}
	return false
}

// smallDisk mounts a tmpfs of that many MiB.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillUp writes a file that leaves that many bytes.
func fillUp(t *testing.T, dir string, leave int64) (ballast string) {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	ballast = filepath.Join(dir, "somebody-elses-file")
	if err := os.WriteFile(ballast, make([]byte, int64(st.Bavail)*st.Bsize-leave), 0o600); err != nil {
		t.Fatal(err)
	}
	return ballast
}

// TestDiskNearlyFull stops publishing while there is still room for the server to work: the error comes at once and is clear,
// beats go on, and everything works again as soon as there is room, without a restart.
func TestDiskNearlyFull(t *testing.T) {
	if !withMounts(t) {
		return
	}
	dir := smallDisk(t, 24)
	cfg := bus.Config{Embedded: bus.Embedded{Dir: filepath.Join(dir, "store")}}
	b := natstest.Open(t, cfg)
	p := b.Publisher()
	mustStore(t, p, newMessage("before"))
	ballast := fillUp(t, dir, bus.DiskReserve-64<<10)

	start := time.Now()
	_, err := p.PublishAck(t.Context(), topic, newMessage("no room"))
	if !errors.Is(err, bus.ErrFull) || !errors.Is(err, bus.ErrNotStored) || !strings.Contains(err.Error(), "free some space") || time.Since(start) > time.Second {
		t.Errorf("after %v: %v; want ErrFull and ErrNotStored at once", time.Since(start), err)
	}
	beats := make(chan error, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- b.Beat(ctx, bus.BeaterConfig{Interval: 10 * time.Millisecond, OnResult: func(err error) { beats <- err }})
	}()
	if err := receive(t, beats, "beat"); err != nil {
		t.Errorf("beat: %v", err)
	}
	cancel()
	if err := receive(t, ended, "end of beats"); err != nil {
		t.Error(err)
	}

	// A restart in this state must still serve what there is: replicas that start now have to read it.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = natstest.Open(t, cfg)
	if _, err := b.EventAt(t.Context(), 1); err != nil {
		t.Errorf("read after a restart: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	mustStore(t, b.Publisher(), newMessage("after"))
}

// TestDiskFull lets the server itself run out of space. It answers nothing then, but the error says what is wrong; and
// everything that it acknowledged is there after the disk was made bigger and the folder opened again.
func TestDiskFull(t *testing.T) {
	if !withMounts(t) {
		return
	}
	dir := smallDisk(t, 24)
	cfg := bus.Config{Embedded: bus.Embedded{Dir: filepath.Join(dir, "store")}}
	b := natstest.Open(t, cfg)
	fillUp(t, dir, 300<<10)
	var acknowledged uint64
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		ack, err := b.PublisherWithoutReserve().PublishAck(ctx, topic, newMessage(strings.Repeat("x", 1000)))
		cancel()
		if err == nil {
			acknowledged = ack.Position
			continue
		}
		if !errors.Is(err, bus.ErrFull) || !errors.Is(err, bus.ErrUnknownOutcome) || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("got %v, want ErrFull and ErrUnknownOutcome", err)
		}
		t.Logf("after %d messages: %v", acknowledged, err)
		break
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	b = natstest.Open(t, cfg)
	for pos := uint64(1); pos <= acknowledged; pos++ {
		if _, err := b.EventAt(t.Context(), pos); err != nil {
			t.Fatalf("acknowledged up to %d: %v", acknowledged, err)
		}
	}
	mustStore(t, b.Publisher(), newMessage("after"))
}
