package revocationtest

import (
	"context"
	"slices"
	"testing"

	"github.com/curfewhq/curfew/revocation"
)

func deliversAfterHeal(t *testing.T, h Harness) {
	first := h.Publish(event(0))
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	r.wait(t, "the first event", func(calls []call) bool { return position(calls) >= first })
	h.Cut()
	want := []uint64{first, h.Publish(event(1)), h.Publish(event(2))}
	h.Heal()
	// A feed may bridge the cut or give up. Either way it goes on where it was.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var earlier []call // of the Follows that have returned
	for {
		now := r.all()
		calls := slices.Concat(earlier, now)
		if position(calls) >= want[2] {
			break
		}
		if f.ended() {
			// Nothing comes after Follow has returned, so this is all of it.
			earlier = slices.Concat(earlier, r.all())
			r = newRecorder(position(earlier))
			f = follow(t, h.Feed(), r)
			continue
		}
		select {
		case <-ctx.Done():
			t.Fatal("what was published while cut wasn't delivered after healing")
		case <-r.after(len(now)):
		case <-f.done:
		}
	}
	f.stop(t)
	checkEvents(t, slices.Concat(earlier, r.all()), want, 0)
}

func replicaAfterHeal(t *testing.T, h Harness) {
	replica := open(t, h)
	catchUp(t, replica, h.Publish(event(0)))
	h.Cut()
	last := h.Publish(event(1))
	checkRevoked(t, replica, 0)
	h.Heal()
	catchUp(t, replica, last)
	checkRevoked(t, replica, 1)
	if d := replica.Check(session(2)); d.State == revocation.Revoked {
		t.Errorf("a session that nothing revokes is revoked: %+v", d)
	}
}
