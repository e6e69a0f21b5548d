package fanout

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/revocation"
)

// overheard is what a gateway tells others.
type overheard struct {
	mu   sync.Mutex
	said []string
}

func (o *overheard) add(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.said = append(o.said, fmt.Sprintf(format, args...))
}

func (o *overheard) Up(tenant, user string)   { o.add("up %s %s", tenant, user) }
func (o *overheard) Down(tenant, user string) { o.add("down %s %s", tenant, user) }
func (o *overheard) PassOn(a gateways.PassedAck) error {
	o.add("pass on %s %s", a.Notice, a.Outcome)
	return nil
}

func (o *overheard) Acked(a gateways.Ack) {
	o.add("acked %s %s %s by conn %d", a.Tenant, a.Event, a.Outcome, a.Conn)
}

func (o *overheard) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	said := o.said
	o.said = nil
	return said
}

// Who has a tab that is ready is there, until its conn has gone; who is let in no further isn't. What a tab acknowledges is told with its event, and not what no event
// has told it.
func TestSuiteTellsOthers(t *testing.T) {
	heard := &overheard{}
	onEach(t, func(cfg *Config) { cfg.Gateway = heard }, func(t *testing.T, g *rig, open func(revocation.Session, cursor) peer) {
		want := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, heard.take()); diff != "" {
				t.Errorf("told others (-want +got):\n%s", diff)
			}
		}
		s := who("ann", "s1")
		first := watch(open(s, cursor{}))
		first.want(t, "ready")
		want("up acme ann")
		second := open(who("ann", "s2"), cursor{})
		next(t, second)
		want("up acme ann")
		e := sessionRevoked(s, "bye")
		g.publish(e)
		first.want(t, logoutOf(e)...)
		want("acked acme "+e.ID+" signed_out by conn 1", "down acme ann")
		// Its session is over: it is told, and was never there.
		watch(open(s, cursor{})).want(t, logoutOf(e)...)
		want("acked acme " + e.ID + " signed_out by conn 3")
		_ = second.Close()
		want("down acme ann")
		s = who("ann", "s3")
		s.AuthTime = time.Now().Add(-2 * revocation.DefaultMaxAge)
		watch(open(s, cursor{})).want(t, "logout max_age session", "closed 4501")
		want()
	})
}

// answering is a fleet that answers what it is told to.
type answering struct {
	answer gateways.Answer
	err    error
	asked  []string
}

func (f *answering) Tabs(ctx context.Context, tenant, user string) (gateways.Answer, error) {
	deadline, _ := ctx.Deadline()
	f.asked = append(f.asked, fmt.Sprintf("%s %s %v", tenant, user, time.Until(deadline).Round(10*time.Millisecond)))
	return f.answer, f.err
}

// The call asks for a user of the key's tenant alone, and never passes for complete what isn't.
func TestTabsOfAUser(t *testing.T) {
	since := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	here := gateways.GatewayTabs{ID: "g1", Name: "here", Tabs: []gateways.Tab{{Session: "s1", Since: since, Transport: gateways.TransportSSE}}}
	for _, c := range []struct {
		name, path string
		fleet      answering
		status     int
		want       string
		asked      []string
	}{
		{"all have answered", "/v1/users/ann/tabs", answering{answer: gateways.Answer{Gateways: []gateways.GatewayTabs{here}}}, 200, `"complete":true`, []string{"acme ann 1s"}},
		{"what it says of a tab", "/v1/users/ann/tabs", answering{answer: gateways.Answer{Gateways: []gateways.GatewayTabs{here}}}, 200,
			`"tabs":[{"session":"s1","since":"2026-03-01T09:30:00Z","transport":"sse"}]`, []string{"acme ann 1s"}},
		{"one hasn't", "/v1/users/ann/tabs?timeout=200ms", answering{answer: gateways.Answer{Missing: []gateways.Member{{ID: "g2", Name: "there"}}}}, 200, `"name":"there"`, []string{"acme ann 200ms"}},
		{"one hasn't, so it isn't complete", "/v1/users/ann/tabs", answering{answer: gateways.Answer{Missing: []gateways.Member{{ID: "g2", Name: "there"}}}}, 200, `"complete":false`, []string{"acme ann 1s"}},
		{"nobody knows who there is", "/v1/users/ann/tabs", answering{answer: gateways.Answer{MembersUnknown: true}}, 200, `"complete":false,"gateways":[],"members_unknown":true`, []string{"acme ann 1s"}},
		{"an id with a slash", "/v1/users/a%2Fb/tabs", answering{}, 200, `"user":"a/b"`, []string{"acme a/b 1s"}},
		{"no NATS", "/v1/users/ann/tabs", answering{err: errors.New("no NATS")}, 503, "gateways_unavailable", []string{"acme ann 1s"}},
		{"too soon", "/v1/users/ann/tabs?timeout=1ms", answering{}, 422, "invalid_timeout", nil},
		{"two timeouts", "/v1/users/ann/tabs?timeout=1s&timeout=2s", answering{}, 422, "invalid_timeout", nil},
		{"a control character", "/v1/users/a%00/tabs", answering{}, 422, `"field":"user"`, nil},
		{"another tenant", "/v1/users/ann/tabs?tenant=other", answering{}, 400, "unknown_parameter", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			fleet := c.fleet
			g := newRig(t, func(cfg *Config) { cfg.Fleet = &fleet })
			mux := http.NewServeMux()
			mux.HandleFunc("GET /v1/users/{user}/tabs", func(w http.ResponseWriter, r *http.Request) {
				g.svc.handleTabs(w, r.WithContext(access.WithKey(r.Context(), access.Key{Tenant: tenant})))
			})
			w := serve(t, mux, c.path)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("got %d %s, want %d and %s", w.Code, w.Body, c.status, c.want)
			}
			if diff := cmp.Diff(c.asked, fleet.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}
