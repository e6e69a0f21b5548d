package fanout

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/revocation"
)

// call calls the gateway without a network.
func (g *rig) call(method, path, body string, header map[string]string) *httptest.ResponseRecorder {
	g.t.Helper()
	mux := http.NewServeMux()
	g.svc.Routes(mux)
	q := httptest.NewRequest(method, path, strings.NewReader(body))
	for name, value := range header {
		q.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, q)
	return w
}

// serve has a handler answer a GET.
func serve(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func codeOf(w *httptest.ResponseRecorder) string {
	_, after, _ := strings.Cut(w.Body.String(), `"code":"`)
	code, _, _ := strings.Cut(after, `"`)
	return code
}

// passFor exchanges a ticket.
func (g *rig) passFor(s revocation.Session) *http.Cookie {
	g.t.Helper()
	w := g.call(http.MethodPost, pathNotices, `{"ticket":"`+g.ticket(s)+`"}`, map[string]string{"Origin": site})
	if w.Code != http.StatusNoContent || len(w.Result().Cookies()) != 1 {
		g.t.Fatalf("exchange: %d %s", w.Code, w.Body)
	}
	return w.Result().Cookies()[0]
}

func TestExchange(t *testing.T) {
	g := newRig(t, nil)
	const other = "https://other.example"
	g.svc.cfg.AllowedOrigins = append(g.svc.cfg.AllowedOrigins, other)
	used := g.ticket(who("ann", "s1"))
	if _, err := g.svc.redeem(used, site); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, body, origin string
		status             int
		code               string
	}{
		{"a ticket", `{"ticket":"` + g.ticket(who("ann", "s1")) + `"}`, site, 204, ""},
		{"a program's", `{"ticket":"` + g.ticket(who("ann", "s1")) + `"}`, "", 403, "origin_missing"},
		{"a used ticket", `{"ticket":"` + used + `"}`, site, 401, "ticket_refused"},
		{"a forged one", `{"ticket":"e30.e30"}`, site, 401, "ticket_refused"},
		{"a pass", `{"ticket":"` + g.passFor(who("ann", "s1")).Value + `"}`, site, 401, "ticket_refused"},
		{"none", `{}`, site, 422, "invalid_request"},
		{"another member", `{"ticket":"x","user":"bob"}`, site, 400, "malformed_body"},
		{"no JSON", `ticket`, site, 400, "malformed_body"},
		{"a foreign page", `{"ticket":"` + g.ticket(who("ann", "s1")) + `"}`, "https://evil.example", 403, "origin_not_allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := map[string]string{"Content-Type": "application/json"}
			if c.origin != "" {
				header["Origin"] = c.origin
			}
			w := g.call(http.MethodPost, pathNotices, c.body, header)
			if w.Code != c.status || codeOf(w) != c.code {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, c.status, c.code)
			}
			if cookies := w.Result().Cookies(); (len(cookies) == 1) != (c.status == 204) {
				t.Errorf("cookies %v", cookies)
			}
			readable := w.Header().Get("Access-Control-Allow-Origin")
			if want := map[bool]string{true: c.origin}[c.origin == site]; readable != want {
				t.Errorf("readable by %q, want %q", readable, want)
			}
		})
	}
}

// The cookie is for the gateway alone, for no script, and for no other site than the one that it was given to.
func TestPassCookie(t *testing.T) {
	g := newRig(t, nil)
	c := g.passFor(who("ann", "s1"))
	if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.Partitioned ||
		c.MaxAge != int(passLifetime.Seconds()) {
		t.Errorf("got %v", c)
	}
	w := g.call(http.MethodPost, pathNotices, `{"ticket":"`+g.ticket(who("ann", "s1"))+`"}`, map[string]string{"Origin": site, "Sec-Fetch-Site": "cross-site"})
	if c := w.Result().Cookies()[0]; c.SameSite != http.SameSiteNoneMode || !c.Partitioned || !c.Secure {
		t.Errorf("across sites: %v", c)
	}
}

func TestPreflight(t *testing.T) {
	g := newRig(t, nil)
	for _, path := range []string{pathNotices, pathAcks} {
		w := g.call(http.MethodOptions, path, "", map[string]string{"Origin": site, "Access-Control-Request-Method": "POST"})
		h := w.Header()
		if w.Code != 204 || h.Get("Access-Control-Allow-Origin") != site || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Vary") != "Origin" {
			t.Errorf("%s: %d %v", path, w.Code, h)
		}
		w = g.call(http.MethodOptions, path, "", map[string]string{"Origin": "https://evil.example"})
		if w.Code != 403 || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s for a foreign page: %d %v", path, w.Code, w.Header())
		}
	}
}

// Who opens a stream shows a pass, from a page of the origin that has it.
func TestWhoOpensStreams(t *testing.T) {
	g := newRig(t, nil)
	const other, own = "https://other.example", "https://gw.example"
	g.svc.cfg.AllowedOrigins = append(g.svc.cfg.AllowedOrigins, other, own)
	pass := g.passFor(who("ann", "s1"))
	text := pass.Name + "=" + pass.Value
	ofOwn := g.call(http.MethodPost, pathNotices, `{"ticket":"`+g.ticket(who("ann", "s1"))+`"}`, map[string]string{"Origin": own}).Result().Cookies()[0]
	expired := g.svc.tickets.issuePass(ticket{Tenant: tenant, User: "ann", Session: "s1"}, site, time.Now().Add(-passLifetime-time.Second))
	for _, c := range []struct {
		name   string
		header map[string]string
		code   string
	}{
		{"with a pass", map[string]string{"Origin": site, "Cookie": text}, ""},
		{"beside other cookies", map[string]string{"Origin": site, "Cookie": "a=b; " + text}, ""},
		{"from the gateway's own origin", map[string]string{"Sec-Fetch-Site": "same-origin", "Cookie": ofOwn.Name + "=" + ofOwn.Value}, ""},
		{"beside that of another page of ours", map[string]string{"Origin": site, "Cookie": ofOwn.Name + "=" + ofOwn.Value + "; " + text}, ""},
		{"without a pass", map[string]string{"Origin": site}, "pass_missing"},
		{"with two", map[string]string{"Origin": site, "Cookie": text + "; " + text}, "ticket_refused"},
		{"with a ticket", map[string]string{"Origin": site, "Cookie": pass.Name + "=" + g.ticket(who("ann", "s1"))}, "ticket_refused"},
		{"with one that is cut off", map[string]string{"Origin": site, "Cookie": text[:len(text)-1]}, "ticket_refused"},
		{"with one that is too old", map[string]string{"Origin": site, "Cookie": pass.Name + "=" + expired}, "ticket_refused"},
		{"from another page of ours", map[string]string{"Origin": other, "Cookie": text}, "pass_missing"},
		{"under the name of another page of ours", map[string]string{"Origin": other, "Cookie": passCookie(other) + "=" + pass.Value}, "ticket_refused"},
		{"from a foreign page", map[string]string{"Origin": "https://evil.example", "Cookie": text}, "origin_not_allowed"},
		{"from a sandbox", map[string]string{"Origin": "null", "Cookie": text}, "origin_not_allowed"},
		{"from nowhere", map[string]string{"Cookie": text}, "origin_missing"},
		{"by an image of a foreign page", map[string]string{"Sec-Fetch-Site": "cross-site", "Cookie": text}, "origin_missing"},
		{"by an image of another page of the site", map[string]string{"Sec-Fetch-Site": "same-site", "Cookie": text}, "origin_missing"},
		{"of another origin, from the gateway's own", map[string]string{"Sec-Fetch-Site": "same-origin", "Cookie": text}, "pass_missing"},
		{"of another origin under the own one's name", map[string]string{"Sec-Fetch-Site": "same-origin", "Cookie": ofOwn.Name + "=" + pass.Value}, "ticket_refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := httptest.NewRequest(http.MethodGet, own+pathNotices, nil)
			for name, value := range c.header {
				q.Header.Set(name, value)
			}
			origin, p := g.svc.originOf(q)
			if p.Status == 0 {
				var who *identity
				if who, p = g.svc.identifyByPass(q, origin); who == nil && p.Status == 0 {
					who, p = g.svc.identifyBySession(q, origin)
				}
				if (who == nil) != (c.code != "") || who != nil && who.session.ID != "s1" {
					t.Errorf("got %+v", who)
				}
			}
			if p.Code != c.code {
				t.Errorf("got %+v, want %q", p, c.code)
			}
		})
	}
}

// A browser opens its stream again and again, until its pass is too old or its session over.
func TestPassIsUsedAgain(t *testing.T) {
	g := newRig(t, nil)
	s := who("ann", "s1")
	url := g.serve()
	pass := g.passFor(s)
	reopen := func() peer {
		c, err := tabclient.Reopen(t.Context(), http.DefaultClient, url, site, pass, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	for range 3 {
		if f := next(t, reopen()); f.Type != tab.TypeReady {
			t.Errorf("got %+v, want ready", f)
		}
	}
	e := sessionRevoked(s, "bye")
	g.publish(e)
	if f := next(t, reopen()); f.ID != e.ID {
		t.Errorf("got %+v, want the notice", f)
	}
}

// A browser that comes back by itself after the end of its session gives up at the answer, on a connection of its own and on one that is used again. One whose gateway
// went away does not, and neither does a page that opens a stream for its next session.
func TestStreamIsOverForGood(t *testing.T) {
	g := newRig(t, nil)
	s := who("ann", "s1")
	pass := g.passFor(s)
	for name, url := range map[string]string{"over the front": "http://" + g.serveFront(nil, nil), "over HTTP": g.serve()} {
		open := func(lastID string) (*tabclient.Stream, error) {
			c, err := tabclient.Reopen(t.Context(), http.DefaultClient, url, site, pass, lastID)
			if err == nil {
				t.Cleanup(func() { _ = c.Close() })
			}
			return c, err
		}
		g.publish(sessionRevoked(s, "bye"))
		c, err := open("")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ack(next(t, c).ID, tab.OutcomeSignedOut); err != nil {
			t.Fatal(err)
		}
		var closed *tabclient.CloseError
		if _, err := c.Next(t.Context()); !errors.As(err, &closed) || closed.Code != tab.CloseSignedOut || c.LastID() != tab.StreamOver {
			t.Errorf("%s: closed with %v and the id %q", name, err, c.LastID())
		}
		var status *tabclient.StatusError
		if _, err := open(c.LastID()); !errors.As(err, &status) || status.Status != http.StatusNoContent {
			t.Errorf("%s: it came back to %v, want 204", name, err)
		}
		again, err := open("")
		if err != nil {
			t.Fatal(err)
		}
		if f := next(t, again); f.Type != tab.TypeLogout {
			t.Errorf("%s: another stream begins with %+v", name, f)
		}
	}
	w := g.call(http.MethodGet, pathNotices, "", map[string]string{"Origin": "https://evil.example", "Last-Event-ID": tab.StreamOver})
	if w.Code != http.StatusForbidden {
		t.Errorf("a foreign page gets %d", w.Code)
	}
}

// An EventSource gives up for good at any status but 200, so where it may come again it is told when, within a stream. Others get the status.
func TestStreamIsPutOff(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*rig)
		code   string
		closed tab.CloseCode
	}{
		"while it drains": {func(g *rig) { g.svc.Drain(g.t.Context()) }, "draining", tab.CloseDrain},
		"while it is full": {func(g *rig) {
			if p := g.svc.enter(peerKey(0), true); p.Status != 0 {
				g.t.Fatal(p)
			}
			g.t.Cleanup(func() { g.svc.giveUp(peerKey(0), true) })
		}, "too_many_conns", tab.CloseOverloaded},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, func(cfg *Config) { cfg.MaxConns = 1 })
			pass := g.passFor(who("ann", "s1"))
			c.before(g)
			stream, err := tabclient.Reopen(t.Context(), http.DefaultClient, "http://"+g.serveFront(nil, nil), site, pass, "")
			if err != nil {
				t.Fatal(err)
			}
			var closed *tabclient.CloseError
			if f, err := stream.Next(t.Context()); !errors.As(err, &closed) || closed.Code != c.closed {
				t.Errorf("got %+v, %v; want to be closed with %d", f, err, c.closed)
			}
			header := map[string]string{"Origin": site, "Cookie": pass.Name + "=" + pass.Value, "Accept": "text/event-stream"}
			w := g.call(http.MethodGet, pathNotices, "", header)
			ms, _, _ := strings.Cut(strings.TrimPrefix(w.Body.String(), "retry: "), "\n")
			if n, err := strconv.Atoi(ms); w.Code != 200 || w.Header().Get("Content-Type") != "text/event-stream" || w.Header().Get("Access-Control-Allow-Origin") != site || err != nil || n < 1000 {
				t.Errorf("got %d %v %q", w.Code, w.Header(), w.Body)
			}
			header["Accept"] = "*/*"
			if w := g.call(http.MethodGet, pathNotices, "", header); w.Code != 503 || codeOf(w) != c.code {
				t.Errorf("a program gets %d %s", w.Code, w.Body)
			}
			if n := testutil.ToFloat64(g.metrics.Refused.WithLabelValues(c.code)); n != 3 {
				t.Errorf("%v refusals are counted, want 3", n)
			}
			// What won't be otherwise the next time is a status for all.
			if w := g.call(http.MethodGet, pathNotices, "", map[string]string{"Origin": site, "Accept": "text/event-stream"}); w.Code != 401 {
				t.Errorf("without a pass: %d", w.Code)
			}
		})
	}
}

// An acknowledgement counts if it names a stream, by the name that only its tab was told, and the notice that was shown there; and once.
func TestAckBesideStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := who("ann", "s1")
		c := transports["sse"](g, s, cursor{})
		ready := next(t, c)
		e := sessionRevoked(s, "bye")
		ack := func(stream, id, outcome string) (int, string) {
			w := g.call(http.MethodPost, pathAcks, tabclient.AckBody(stream, id, tab.Outcome(outcome)), map[string]string{"Origin": site})
			return w.Code, codeOf(w)
		}
		elsewhere := g.svc.tickets.seal(streamNumber(g.svc.process+1, 1), forName)
		refused := func(when string) {
			for name, a := range map[string][3]string{
				"no name":                {"", e.ID, "signed_out"},
				"a forged name":          {"MS4x.AAAA", e.ID, "signed_out"},
				"a ticket":               {g.ticket(s), e.ID, "signed_out"},
				"a stream that's gone":   {g.svc.tickets.seal(streamNumber(g.svc.process, 99), forName), e.ID, "signed_out"},
				"another gateway's":      {elsewhere, e.ID, "signed_out"},
				"another notice":         {ready.Stream, "another", "signed_out"},
				"no outcome":             {ready.Stream, e.ID, "read"},
				"a notice that can't be": {ready.Stream, "a b", "signed_out"},
			} {
				if status, code := ack(a[0], a[1], a[2]); status != 404 && status != 422 {
					t.Errorf("%s, %s: %d %s", when, name, status, code)
				}
			}
		}
		refused("before the notice")
		if status, code := ack(ready.Stream, e.ID, "signed_out"); status != 404 || code != "notice_unknown" {
			t.Errorf("before the notice: %d %s", status, code)
		}
		g.publish(e)
		next(t, c)
		refused("after it")
		if len(g.shown) != 0 {
			t.Errorf("shown %v", g.shown)
		}
		if status, code := ack(ready.Stream, e.ID, "already"); status != 204 {
			t.Errorf("got %d %s", status, code)
		}
		if status, _ := ack(ready.Stream, e.ID, "already"); status != 404 || len(g.shown) != 1 {
			t.Errorf("a second time: %d, shown %v", status, g.shown)
		}
	})
}

// An acknowledgement that comes to a gateway that doesn't hold the stream is passed on, and the one that does takes it as its own.
func TestAckIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := &overheard{}
		g := newRig(t, func(cfg *Config) { cfg.Gateway = heard })
		s := who("ann", "s1")
		c := watch(transports["sse"](g, s, cursor{}))
		c.want(t, "ready")
		other := g.svc.tickets.seal(streamNumber(g.svc.process+1, 1), forName)
		heard.take()
		w := g.call(http.MethodPost, pathAcks, tabclient.AckBody(other, "e1", tab.OutcomeIgnored), map[string]string{"Origin": site})
		if w.Code != http.StatusNoContent {
			t.Errorf("got %d %s, want 204", w.Code, w.Body)
		}
		if diff := cmp.Diff([]string{"pass on e1 ignored"}, heard.take()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// And the other way round: what others pass on is taken if it is for a stream of ours, and for the notice that was shown there.
		e := sessionRevoked(s, "bye")
		g.svc.Passed(gateways.PassedAck{Stream: g.svc.streamName(g.onlyConn()), Notice: e.ID, Outcome: tab.OutcomeAlready})
		g.publish(e)
		g.svc.Passed(gateways.PassedAck{Stream: other, Notice: e.ID, Outcome: tab.OutcomeAlready})
		g.svc.Passed(gateways.PassedAck{Stream: "forged", Notice: e.ID, Outcome: tab.OutcomeAlready})
		c.want(t, logoutOf(e)...)
		if len(g.shown) != 1 {
			t.Errorf("shown %v, want the event once", g.shown)
		}
	})
}
