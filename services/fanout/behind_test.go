package fanout

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events/tab"
)

// A tab comes to a gateway that is behind what it has heard elsewhere. The gateway catches up within the second that it waits, or tells what it knows, and the rest
// as soon as it hears of it.
func TestGatewayBehindTheTab(t *testing.T) {
	for _, tt := range []struct {
		name   string
		behind time.Duration
		want   func(revoked, position string) []string
	}{
		{"for a moment", behindTimeout / 2, func(revoked, _ string) []string { return []string{revoked, "closed 4501"} }},
		{"for longer", 2 * behindTimeout, func(revoked, position string) []string { return []string{position, revoked, "closed 4501"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				s := who("ann", "s1")
				g.feed.Stall()
				e := sessionRevoked(s, "bye")
				position := g.feed.Publish(e)
				conn := g.pipe()
				began := time.Now()
				hello, err := tab.EncodeHello(tab.Hello{Ticket: g.ticket(s), Position: position})
				if err != nil {
					t.Fatal(err)
				}
				if err := conn.Send(hello); err != nil {
					t.Fatal(err)
				}
				got := watch(conn)
				pass(tt.behind)
				g.feed.Resume()
				pass(time.Second)
				if diff := cmp.Diff(tt.want(logoutOf(e)[0], "ready"), got.take()); diff != "" {
					t.Errorf("after %v (-want +got):\n%s", time.Since(began), diff)
				}
			})
		})
	}
}

// A position from before the ledger was made anew, or from nowhere, costs a tab a second and nothing else.
func TestPositionThatIsNeverReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		conn := g.pipe()
		began := time.Now()
		hello := fmt.Sprintf(`{"type":"hello","ticket":%q,"position":18446744073709551615}`, g.ticket(who("ann", "s1")))
		if err := conn.Send([]byte(hello)); err != nil {
			t.Fatal(err)
		}
		if f := next(t, conn); f.Type != tab.TypeReady {
			t.Errorf("got %+v, want ready", f)
		}
		if took := time.Since(began); took != behindTimeout {
			t.Errorf("ready after %v, want %v", took, behindTimeout)
		}
	})
}
