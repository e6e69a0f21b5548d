package chaos

import (
	"testing"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// Trap 9: everything about NATS is well, but the one process that writes beats is dead. Another takes its place.
func TestBeatWriterIsLostAndReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	stop := r.traffic()
	r.acknowledged(5)
	r.serve.kill()
	killed := time.Now()
	stop()
	// Whoever else publishes is still heard, and that proves nothing.
	past := store(t, r.js, logout("past-curfew"))
	r.auditor.revoked("past-curfew")
	r.auditor.staleWithin(killed)
	if err := r.replica.WaitFor(t.Context(), past); err != nil {
		t.Fatal(err)
	}
	if d := r.replica.Check(sessionOf("past-curfew")); d.State != revocation.Revoked {
		t.Errorf("the session that was revoked meanwhile is %v (%v), want revoked", d.State, d.Cause)
	}

	r.serve = r.serve.successor()
	r.auditor.nothingMissed()
}

// One of two writers is lost, and hardly anybody notices: a busy machine may be late with a beat.
func TestOneOfTwoBeatWritersIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	other := serve(t, r.node.url(), append([]string{"--roles", "publisher"}, tight...)...)
	before := r.auditor.counted()
	r.serve.kill()
	outlast(t)
	after := r.auditor.counted()
	stale, active := after[revocation.Undetermined]-before[revocation.Undetermined], after[revocation.Active]-before[revocation.Active]
	if stale*10 > active {
		t.Errorf("undetermined %d times of %d with one of two writers left", stale, stale+active)
	}
	r.serve = other
	r.auditor.nothingMissed()
}
