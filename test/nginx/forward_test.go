package nginx_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
)

// forged is what a caller sends who wants to be somebody else.
var forged = http.Header{
	"X-User-ID": {"root"}, "x-user-id": {"root", "root"}, "X_User_ID": {"root"}, "X-Session-ID": {"stolen"}, "X_Session_ID": {"stolen"},
}

// passed checks that a call reached the application once, as the user and session; empty ones mean that it was told nothing.
func (s *site) passed(c call, user, session string) seen {
	s.t.Helper()
	a := s.do(c)
	all := s.app.take()
	if a.status != http.StatusOK || len(all) != 1 {
		s.t.Fatalf("%+v: %d %s, and the application saw %d requests", c, a.status, a.body, len(all))
	}
	identity := map[string]string{}
	for name, values := range all[0].Header {
		if low := strings.ToLower(strings.ReplaceAll(name, "_", "-")); low == "x-user-id" || low == "x-session-id" {
			identity[low] += strings.Join(values, " and ")
		}
	}
	want := map[string]string{}
	if user != "" {
		want = map[string]string{"x-user-id": user, "x-session-id": session}
	}
	if diff := cmp.Diff(want, identity); diff != "" {
		s.t.Errorf("what the application was told (-want +got):\n%s", diff)
	}
	return all[0]
}

// refused checks that a call didn't reach the application, and returns its answer.
func (s *site) refused(c call, status int, code string) answer {
	s.t.Helper()
	a := s.do(c)
	if a.status != status || a.code != code {
		s.t.Errorf("%d %s, want %d %s: %s", a.status, a.code, status, code, a.body)
	}
	if all := s.app.take(); len(all) != 0 {
		s.t.Errorf("the application saw %+v", all)
	}
	if status != http.StatusNotFound && a.header.Get("Cache-Control") != "no-store" {
		s.t.Errorf("%d without Cache-Control: no-store: %v", status, a.header)
	}
	return a
}

func TestForwardAuth(t *testing.T) {
	s := newSite(t, nil)
	laptop := s.signIn("laptop", "ada")

	t.Run("cookie and bearer pass", func(t *testing.T) {
		s.passed(call{cookie: laptop}, "ada", "laptop")
		s.passed(call{bearer: laptop}, "ada", "laptop")
	})
	t.Run("forged identity is overwritten", func(t *testing.T) {
		s.passed(call{cookie: laptop, header: forged}, "ada", "laptop")
	})
	t.Run("without a session there is no identity", func(t *testing.T) {
		s.passed(call{path: "/login/", header: forged}, "", "")
		s.passed(call{path: "/login/form", cookie: laptop, header: forged}, "", "")
	})
	t.Run("the public folder is no way round the check", func(t *testing.T) {
		// As written, on the wire: a client library would tidy these up.
		for _, path := range []string{`/login/..\orders`, "/login/..;/orders", "/login/..%2forders", "/login/%2e%2e/orders", "/login/..%5corders", "/login/../orders"} {
			line := s.raw("GET " + path + " HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
			if !strings.Contains(line, " 400 ") && !strings.Contains(line, " 401 ") {
				t.Errorf("%s was answered %q", path, line)
			}
			if seen := s.app.take(); len(seen) > 0 {
				t.Errorf("%s reached the application", path)
			}
		}
	})
	t.Run("unusual ids arrive encoded", func(t *testing.T) {
		s.passed(call{cookie: s.signIn("télé phone", " zoë%")}, "%20zo%C3%AB%25", "t%C3%A9l%C3%A9%20phone")
	})
	t.Run("bodies reach the application", func(t *testing.T) {
		body := strings.Repeat("1234567 ", 16<<10)
		got := s.passed(call{method: http.MethodPost, cookie: laptop, body: body}, "ada", "laptop")
		if got.Method != http.MethodPost || got.Path != "/orders" || got.Body != body {
			t.Errorf("%s %s with %d bytes, want POST /orders with %d", got.Method, got.Path, len(got.Body), len(body))
		}
	})
	t.Run("no token", func(t *testing.T) {
		a := s.refused(call{header: forged}, http.StatusUnauthorized, "session_required")
		if got := a.header.Values("WWW-Authenticate"); len(got) != 1 || got[0] != "Bearer" {
			t.Errorf("WWW-Authenticate %q", got)
		}
		s.refused(call{method: http.MethodPost, body: "x"}, http.StatusUnauthorized, "session_required")
	})
	t.Run("bad token", func(t *testing.T) {
		a := s.refused(call{cookie: laptop + "x"}, http.StatusUnauthorized, "invalid_token")
		if got := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer error="invalid_token"`) {
			t.Errorf("WWW-Authenticate %q", got)
		}
		s.refused(call{cookie: s.signIn("", "ada")}, http.StatusUnauthorized, "session_claims_missing")
	})
	t.Run("the place that asks is closed to callers", func(t *testing.T) {
		s.refused(call{path: "/_curfew", cookie: laptop}, http.StatusNotFound, "")
	})
	t.Run("position", func(t *testing.T) {
		s.refused(call{cookie: laptop, header: http.Header{"Curfew-Position": {"soon"}}}, http.StatusBadRequest, "invalid_position")
		a := s.refused(call{cookie: laptop, header: http.Header{"Curfew-Position": {"999999999"}}}, http.StatusServiceUnavailable, "session_undetermined")
		if a.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q, want Curfew's 1", a.header.Get("Retry-After"))
		}
	})
	t.Run("the application's own refusals are its own", func(t *testing.T) {
		for _, status := range []int{401, 403, 404, 500, 503} {
			a := s.do(call{path: fmt.Sprintf("/status/%d", status), cookie: laptop})
			if a.status != status || a.body != "the application" {
				t.Errorf("%d %q, want %d from the application", a.status, a.body, status)
			}
		}
		s.app.take()
	})
}

func TestRevokedSessionIsRefused(t *testing.T) {
	s := newSite(t, nil)
	laptop, phone := s.signIn("laptop", "ada"), s.signIn("phone", "ada")
	s.passed(call{cookie: laptop}, "ada", "laptop")

	// With the answer's position nobody sees a replica that doesn't know yet.
	position := s.revoke(map[string]any{"scope": "session", "session": "laptop"})
	read := http.Header{"Curfew-Position": {fmt.Sprint(position)}}
	a := s.refused(call{cookie: laptop, header: read}, http.StatusUnauthorized, "session_revoked")
	if got, want := a.header.Get("WWW-Authenticate"), `Bearer error="invalid_token", error_description="The session is over"`; got != want {
		t.Errorf("WWW-Authenticate %q, want %q", got, want)
	}
	if a.header.Get("X-User-ID") != "" || a.header.Get("Retry-After") != "" {
		t.Errorf("the refusal says too much: %v", a.header)
	}
	// And from now on without it.
	s.refused(call{cookie: laptop}, http.StatusUnauthorized, "session_revoked")
	s.passed(call{cookie: phone}, "ada", "phone")

	position = s.revoke(map[string]any{"scope": "user", "user": "ada"})
	if err := s.curfew.Replica().WaitFor(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	s.refused(call{cookie: phone}, http.StatusUnauthorized, "session_revoked")
	// It was a cutoff and no block: the next sign-in works at once.
	s.passed(call{cookie: s.signIn("tablet", "ada")}, "ada", "tablet")
}

// Curfew is gone: nginx refuses, and lets nobody pass.
func TestCurfewDown(t *testing.T) {
	s := newSite(t, nil)
	laptop := s.signIn("laptop", "ada")
	s.passed(call{cookie: laptop}, "ada", "laptop")
	s.stopCurfew()
	for range 3 {
		a := s.refused(call{cookie: laptop, header: forged}, http.StatusServiceUnavailable, "session_undetermined")
		if a.header.Get("Retry-After") != "5" {
			t.Errorf("Retry-After %q, want 5", a.header.Get("Retry-After"))
		}
	}
	s.passed(call{path: "/login/", header: forged}, "", "")
}

// Curfew has lost its ledger: its replica goes stale within its budget, nobody passes, and what is revoked stays so. With the ledger back
// people pass again.
func TestStaleReplica(t *testing.T) {
	nats := natstest.Start(t)
	s := newSite(t, func(c *config.Config) {
		c.NATS.URL, c.StalenessBudget, c.Ledger.BeatInterval = nats.URL(), time.Second, 250*time.Millisecond
	})
	laptop, phone := s.signIn("laptop", "ada"), s.signIn("phone", "ada")
	position := s.revoke(map[string]any{"scope": "session", "session": "phone"})
	if err := s.curfew.Replica().WaitFor(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	nats.Stop()
	s.ledgerWasLost = true
	s.awaitFresh(false)
	a := s.refused(call{cookie: laptop, header: forged}, http.StatusServiceUnavailable, "session_undetermined")
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q, want Curfew's 1", a.header.Get("Retry-After"))
	}
	s.refused(call{cookie: phone}, http.StatusUnauthorized, "session_revoked")

	nats.Restart()
	s.awaitFresh(true)
	s.passed(call{cookie: laptop}, "ada", "laptop")
	s.refused(call{cookie: phone}, http.StatusUnauthorized, "session_revoked")
}

// awaitFresh waits until the replica is fresh, or stale.
func (s *site) awaitFresh(fresh bool) {
	s.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); s.curfew.Replica().Status().Fresh != fresh; <-tick.C {
		if time.Now().After(deadline) {
			s.t.Fatalf("after %v the replica isn't fresh=%v", patience, fresh)
		}
	}
}

// raw sends bytes as they are and returns the first line of the answer.
func (s *site) raw(request string) string {
	s.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		s.t.Fatal(err)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}
