package gate

import (
	"sync"
	"testing"
	"time"
)

// Places are bounded, and however many a tenant takes, there is one for another.
func TestStreamsLeaveRoomForOthers(t *testing.T) {
	s := newStreams(nil)
	fill := func(tenant string) (all []func()) {
		for {
			leave, p := s.enter(tenant)
			if p.Status != 0 {
				if p.Status != 503 || p.Code != "too_many_streams" || p.RetryAfter < 2*time.Second || p.RetryAfter > 10*time.Second {
					t.Errorf("refused by %+v", p)
				}
				return all
			}
			all = append(all, leave)
		}
	}
	var leaves []func()
	for _, tenant := range []string{"acme", "globex", "initech", "hooli"} {
		before := s.open
		leaves = append(leaves, fill(tenant)...)
		if got, want := s.open-before, (maxStreams-before)/2; got != want {
			t.Errorf("%s took %d places, want half of what there was, %d", tenant, got, want)
		}
	}
	if s.open >= maxStreams {
		t.Errorf("%d of %d places are taken", s.open, maxStreams)
	}
	var leaving sync.WaitGroup
	for _, leave := range leaves {
		leaving.Go(leave)
	}
	leaving.Wait()
	if s.open != 0 || len(s.of) != 0 {
		t.Errorf("%d streams are left, of %v", s.open, s.of)
	}
	s.drain(t.Context())
	if _, p := s.enter("acme"); p.Code != "draining" {
		t.Errorf("after the drain: %+v", p)
	}
}
