package fanout

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// bySession makes a gateway that takes the cookie "session" for the id of one of ann's sessions.
func bySession(cfg *Config) {
	cfg.Session = func(r *http.Request) (revocation.Session, error) {
		c, err := r.Cookie("session")
		switch {
		case r.Header.Get("Authorization") == "Bearer good":
			return who("ann", "by token"), nil
		case err != nil:
			return revocation.Session{}, revocationhttp.ErrNoSession
		case c.Value == "bad":
			return revocation.Session{}, fmt.Errorf("%w: secret detail", revocationhttp.ErrInvalidToken)
		case c.Value == "keys":
			return revocation.Session{}, revocationhttp.ErrKeysUnavailable
		case c.Value == "old":
			return revocation.Session{Tenant: tenant, User: "ann", ID: "old"}, nil
		}
		return who("ann", c.Value), nil
	}
}

// A cookie says who a tab is, and not who has opened the conn: without an allowed Origin that may be anybody's page.
func TestTrapCookieWithoutOrigin(t *testing.T) {
	g := newRig(t, bySession)
	for _, c := range []struct {
		name   string
		header map[string]string
		code   string
		sid    string
	}{
		{"a page of ours", map[string]string{"Origin": site, "Cookie": "session=s1"}, "", "s1"},
		{"the gateway's own page", map[string]string{"Sec-Fetch-Site": "same-origin", "Cookie": "session=s1"}, "", "s1"},
		{"a program's token", map[string]string{"Authorization": "Bearer good"}, "", "by token"},
		{"no cookie", map[string]string{"Origin": site}, "", ""},
		{"a bad one", map[string]string{"Origin": site, "Cookie": "session=bad"}, revocationhttp.CodeInvalidToken, ""},
		{"keys that can't be had", map[string]string{"Origin": site, "Cookie": "session=keys"}, revocationhttp.CodeKeysUnavailable, ""},
		{"a foreign page", map[string]string{"Origin": "https://evil.example", "Cookie": "session=s1"}, "origin_not_allowed", ""},
		{"no Origin", map[string]string{"Cookie": "session=s1"}, "origin_missing", ""},
		{"no Origin, from another site", map[string]string{"Sec-Fetch-Site": "cross-site", "Cookie": "session=s1"}, "origin_missing", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := httptest.NewRequest(http.MethodGet, pathConnect, nil)
			for name, value := range c.header {
				q.Header.Set(name, value)
			}
			origin, p := g.svc.originOf(q)
			var who *identity
			if p.Status == 0 {
				who, p = g.svc.identify(q, "", origin)
			}
			if p.Code != c.code || (who != nil) != (c.sid != "") || who != nil && who.session.ID != c.sid {
				t.Errorf("got %+v and %+v, want %q and %q", who, p, c.code, c.sid)
			}
		})
	}
}

// A tab is let in by its cookie alone, on both transports, and hears of its session's end; and by a ticket where it brings one.
func TestTabsBySession(t *testing.T) {
	g := newRig(t, bySession)
	url := g.serve()
	cookie := http.Header{"Origin": {site}, "Cookie": {"session=s1"}}
	socket, err := tabclient.DialWith(t.Context(), "ws"+url[len("http"):], cookie)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	stream, err := tabclient.Reopen(t.Context(), http.DefaultClient, url, site, &http.Cookie{Name: "session", Value: "s1"}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	byTicket := g.dial(url, g.ticket(who("ann", "s2")))
	for name, c := range map[string]peer{"s1": socket, "s1 ": stream, "s2": byTicket} {
		if f := next(t, c); f.Type != tab.TypeReady || f.Session != name[:2] {
			t.Errorf("got %+v, want ready", f)
		}
	}
	e := sessionRevoked(who("ann", "s1"), "bye")
	g.publish(e)
	for _, c := range []peer{socket, stream} {
		if f := next(t, c); f.ID != e.ID {
			t.Errorf("got %+v, want the notice", f)
		}
	}
}

// A session that says too little isn't asked to come back, which would change nothing.
func TestSessionWithoutAuthTime(t *testing.T) {
	g := newRig(t, bySession)
	c, err := tabclient.DialWith(t.Context(), "ws"+g.serve()[len("http"):], http.Header{"Origin": {site}, "Cookie": {"session=old"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantClose(t, c, tab.CloseTicketRefused)
}

// While nobody can tell whether tickets were used before, tabs are told so, and when to come again.
func TestTicketsUnavailable(t *testing.T) {
	g := newRig(t, func(cfg *Config) { cfg.UsedTickets = &usedTickets{err: errors.New("no NATS")} })
	for name, w := range map[string]*httptest.ResponseRecorder{
		"upgrade":  g.call(http.MethodGet, pathConnect, "", map[string]string{"Upgrade": "websocket", "Sec-WebSocket-Protocol": tab.Subprotocol + ", " + tab.OfferTicket + g.ticket(who("ann", "s1"))}),
		"exchange": g.call(http.MethodPost, pathNotices, `{"ticket":"`+g.ticket(who("ann", "s1"))+`"}`, map[string]string{"Origin": site}),
	} {
		if w.Code != http.StatusServiceUnavailable || codeOf(w) != "tickets_unavailable" || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
	if n := g.svc.Open(); n != 0 {
		t.Errorf("%d places are taken", n)
	}
}
