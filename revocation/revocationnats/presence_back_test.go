package revocationnats_test

import (
	"testing"
	"time"

	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// TestPresenceReportsOnceItIsBack: a replica whose link comes back has proof again within milliseconds, and answers active. It reports then, and not a second later: until it does, who listens says of it that it fails closed.
func TestPresenceReportsOnceItIsBack(t *testing.T) {
	r := newRig(t, quick)
	heard := r.hearReports()
	p, err := revocationnats.NewPresence(r.connect(r.proxy.URL()).Conn(), &standing{moved: make(chan struct{})}, revocationnats.PresenceConfig{Name: "billing-7"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	// Three of ten: a busy machine may hold up some, and one that waits for its interval is never early.
	const rounds, wanted = 10, 3
	early := 0
	for range rounds {
		any := func(presence.Report) bool { return true }
		heard.until("one of its own time", any)
		before := time.Now()
		heard.until("the next", any)
		if time.Since(before) < presence.Interval/2 {
			heard.until("the next", any) // it wasn't at an interval's end
		}
		cut := time.Now()
		r.proxy.Cut()
		heard.until("once it is back", any)
		if d := time.Since(cut); d <= presence.Interval*3/4 {
			early++
		} else {
			t.Logf("it reports %v after its link broke for some milliseconds", d)
		}
		if early == wanted {
			return
		}
	}
	t.Errorf("it reports before its interval's end %d times of %d, want %d", early, rounds, wanted)
}
