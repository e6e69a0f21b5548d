package revocationnats_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// While nobody makes consumers, as in a cluster that has just lost whoever did, the stream's leader is asked for what it has: in order, each once,
// and beats among them.
func TestEventsComeWithoutAConsumer(t *testing.T) {
	r := newRigWithout(t, "$JS.API.CONSUMER.CREATE.>")
	before := r.Publish(logout(1))
	replica := r.open(revocation.Config{StalenessBudget: 5 * time.Second})
	if d := replica.Check(session(1)); d.State != revocation.Revoked || d.EventPosition != before {
		t.Errorf("%+v once opened, want revoked at %d", d, before)
	}
	var mu sync.Mutex
	var got []uint64
	defer replica.OnApplied(func(a revocation.Applied) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, a.Position)
	})()
	r.beats(100 * time.Millisecond)
	var want []uint64
	for n := range 20 {
		want = append(want, r.Publish(logout(10+n)))
	}
	waitFor(t, replica, want[len(want)-1])
	// The watchers come after those who wait.
	waitFor(t, replica, r.Beat())
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, want) {
		t.Errorf("applied %v, want %v", got, want)
	}
	if s := replica.Status(); !s.Fresh {
		t.Errorf("%+v, want fresh", s)
	}
}

// The stream is put back while there is no consumer: another event lies where one was read.
func TestPutBackWithoutAConsumer(t *testing.T) {
	r := newRigWithout(t, "$JS.API.CONSUMER.CREATE.>")
	replica := r.open(revocation.Config{StalenessBudget: time.Minute})
	waitFor(t, replica, r.Publish(logout(1)))
	b := r.backup()
	waitFor(t, replica, r.Publish(logout(2)))
	before := replica.Status().Stream
	r.Cut()
	r.restore(b)
	r.Publish(logout(3))
	last := r.Publish(logout(4))
	r.Heal()
	eventually(t, "another incarnation", func() bool { return replica.Status().Stream != before })
	waitFor(t, replica, last)
	for n := 1; n <= 4; n++ {
		if d := replica.Check(session(n)); d.State != revocation.Revoked {
			t.Errorf("session %d is %v (%v), want revoked", n, d.State, d.Cause)
		}
	}
}
