package revocation

import (
	"sync"
	"testing"
	"time"
)

// Every check counts once, whoever asks at the same time.
func TestChecksAreCounted(t *testing.T) {
	r, sink := bare(Config{})
	sink.Event(Place{Position: 1}, sessionOut(1, "gone", time.Now()))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				r.Check(Session{ID: "gone"})
				r.Check(Session{ID: "here", User: "ada", AuthTime: time.Now()})
				r.Check(Session{ID: "there", User: "bob", AuthTime: time.Now()})
				r.CheckWith(Session{}, Require{DangerouslyAllowMissingUser: true})
			}
		})
	}
	wg.Wait()
	if s := r.Status(); s.Revoked != 400 || s.Active != 800 || s.Undetermined != 400 {
		t.Errorf("%d revoked, %d active, %d undetermined; want 400, 800, 400", s.Revoked, s.Active, s.Undetermined)
	}
}
