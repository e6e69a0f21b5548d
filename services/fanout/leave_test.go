package fanout

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/tabclient"
)

// A page that leaves closes its stream and sends its acknowledgement beside it. Whichever comes first, the acknowledgement counts; after a while it is too late, and the tab is gone.
func TestAckBehindTheEndOfItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		one, two := who("ann", "s1"), who("ann", "s2")
		ack := func(stream, id string) int {
			return g.call(http.MethodPost, pathAcks, tabclient.AckBody(stream, id, tab.OutcomeSignedOut), map[string]string{"Origin": site}).Code
		}
		for i, tt := range []struct {
			late   bool
			status int
			want   gateways.Shown
		}{
			{false, http.StatusNoContent, gateways.Shown{Told: 1, SignedOut: 1}}, {true, http.StatusNotFound, gateways.Shown{Told: 1, Gone: 1}},
		} {
			s := one
			if i == 1 {
				s = two
			}
			c := transports["sse"](g, s, cursor{})
			ready := next(t, c)
			e := sessionRevoked(s, "bye")
			position := g.publish(e)
			next(t, c)
			_ = c.Close()
			synctest.Wait()
			if got := g.svc.Shown(e.ID, position); got.Waiting() != 1 {
				t.Errorf("right behind its end: %+v", got)
			}
			if tt.late {
				pass(lateAck)
				synctest.Wait()
			}
			if status := ack(ready.Stream, e.ID); status != tt.status {
				t.Errorf("late %v: %d, want %d", tt.late, status, tt.status)
			}
			pass(lateAck)
			synctest.Wait()
			if diff := cmp.Diff(tt.want, g.svc.Shown(e.ID, position)); diff != "" {
				t.Errorf("late %v (-want +got):\n%s", tt.late, diff)
			}
		}
		g.svc.mu.Lock()
		defer g.svc.mu.Unlock()
		if n := len(g.svc.streams); n != 0 {
			t.Errorf("%d streams are remembered", n)
		}
	})
}
