package chaos

import (
	"testing"
	"time"
)

// soon is within how long of healing a replica is fresh again. What is measured is less than a second; the rest is for machines that do something
// else too.
const soon = 5 * time.Second

// outlast waits for longer than it takes to find a connection dead, and so to look for another.
func outlast(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(4 * time.Second):
	case <-t.Context().Done():
	}
}

// Trap 9: the server is gone, and nobody who only waits for news can tell.
func TestServerIsKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	took := r.suffers(r.node.kill, r.node.restart)
	t.Logf("fresh %v after the server was ready again", took)
	if took > soon {
		t.Errorf("fresh %v after the server was ready again, want within %v", took, soon)
	}
}

// Trap 9: the server hangs, with every connection open.
func TestServerIsFrozen(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	took := r.suffers(r.node.stop, func() {
		outlast(t)
		r.node.cont()
	})
	t.Logf("fresh %v after the server went on", took)
	if took > soon {
		t.Errorf("fresh %v after the server went on, want within %v", took, soon)
	}
}
