//go:build unix

package audit_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/audit"
)

// checkpointerEnv tells the test binary to make checkpoints, over the server at this URL.
const checkpointerEnv = "CURFEW_TEST_CHECKPOINTER"

// TestCheckpointerInAProcessOfItsOwn is no test of its own: it is the child process of another, and does nothing elsewhere.
func TestCheckpointerInAProcessOfItsOwn(t *testing.T) {
	url := os.Getenv(checkpointerEnv)
	if url == "" {
		return
	}
	svc := newRig(t, natstest.Open(t, bus.Config{URL: url})).service(func(c *audit.Config) { c.Interval = time.Millisecond })
	for {
		fmt.Println("ended", svc.Run(t.Context(), func() { fmt.Println("made") }))
	}
}

// TestKilledCheckpointer is killed again and again while events come and checkpoints are made, and the next goes on in the same chain.
func TestKilledCheckpointer(t *testing.T) {
	srv, b := external(t)
	r := newRig(t, b)
	for round := range 6 {
		child := exec.Command(os.Args[0], "-test.run=^TestCheckpointerInAProcessOfItsOwn$", "-test.count=1")
		child.Env = append(os.Environ(), checkpointerEnv+"="+srv.URL())
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for made := 0; made < 3+round*7; made++ {
			r.store(30)
			if !lines.Scan() {
				break
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = child.Wait() // it was killed
	}
	r.run(r.service(), r.signedUpTo(r.store(1)))
	got := r.verify()
	if got.Broken != 0 || got.Unsigned != 0 || got.Checkpoints < 20 {
		t.Errorf("%+v", got)
	}
	for _, s := range r.checkpoints()[1:] {
		if c := saying(t, s); c.Cause != "" {
			t.Errorf("checkpoint %d begins another chain, because: %s", c.Number, c.Cause)
		}
	}
}
