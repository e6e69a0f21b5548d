//go:build unix

package lease_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/lease"
	"github.com/curfewhq/curfew/internal/natstest"
)

// contenderEnv tells the test binary to contend, over the server at this URL.
const contenderEnv = "CURFEW_TEST_CONTENDER"

// TestContenderInAProcessOfItsOwn is no test of its own: it is the child process of another.
func TestContenderInAProcessOfItsOwn(t *testing.T) {
	url := os.Getenv(contenderEnv)
	if url == "" {
		t.Skip("only in a child process")
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); cancel() }()
	nc, kv := connect(t, url)
	err := lease.Run(ctx, nc, kv, lease.Config{Key: "k", Holder: "child", TTL: short}, func(ctx context.Context) error {
		fmt.Println("holds")
		<-ctx.Done()
		fmt.Println("ended", errors.Is(context.Cause(ctx), lease.ErrLost))
		return nil
	})
	fmt.Println("returned", err)
}

// A process that is stopped while it holds the lease finds, when it goes on, that it doesn't any more; and one that was stopped while it waited doesn't
// take what is another's meanwhile.
func TestProcessThatIsStopped(t *testing.T) {
	srv := natstest.Start(t)
	child := exec.Command(os.Args[0], "-test.run=^TestContenderInAProcessOfItsOwn$", "-test.count=1")
	child.Env = append(os.Environ(), contenderEnv+"="+srv.URL())
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Signal(syscall.SIGCONT); _ = child.Process.Kill(); _ = child.Wait() })
	lines := bufio.NewScanner(stdout)
	says := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the child says %q, want %q", lines.Text(), want)
		}
	}
	signal := func(s syscall.Signal) {
		t.Helper()
		if err := child.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	says("holds")
	h := &holders{t: t}
	stop := h.run(srv.URL(), "parent")
	signal(syscall.SIGSTOP)
	eventually(t, "the parent holds it", func() bool { return h.are("parent") })
	signal(syscall.SIGCONT)
	says("ended true")
	// While it waits.
	signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(short + short/2); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if !h.are("parent") {
			t.Fatal("the parent has lost it")
		}
	}
	signal(syscall.SIGCONT)
	for deadline := time.Now().Add(short / 2); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if !h.are("parent") {
			t.Fatal("the parent has lost it")
		}
	}
	stop()
	says("holds")
	_ = stdin.Close()
	says("ended false")
	says("returned <nil>")
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "holds") {
			t.Error("it holds the lease once more")
		}
	}
}
