package server_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/publisher"
)

// A preview counts registered sessions and the open tabs of all gateways, of the key's tenant alone, and ends nothing.
func TestPreview(t *testing.T) {
	nats := natstest.Start(t)
	cfg := testConfig(t)
	cfg.NATS.URL, cfg.LoginRate = nats.URL(), 1
	one := start(t, cfg)
	cfg = testConfig(t)
	cfg.NATS.URL, cfg.LoginRate = nats.URL(), 1
	other := start(t, cfg)
	acme, globex := sharedKey(t, other, one, "acme", access.Scopes()...), sharedKey(t, other, one, "globex", access.Scopes()...)
	register := func(key, session, user, client string) {
		t.Helper()
		body := fmt.Sprintf(`{"session":%q,"user":%q,"client":%q,"device":"d-%s"}`, session, user, client, user)
		if status, answer := answerOf(t, one, key, http.MethodPost, "/v1/sessions", body); status != http.StatusCreated {
			t.Fatalf("%d %s", status, answer)
		}
	}
	for i := range 6 {
		register(acme, fmt.Sprint("s-", i), fmt.Sprint("u-", i%3), []string{"web", "web", "shop"}[i%3])
	}
	register(globex, "s-0", "u-0", "web")
	openTab(t, one, acme, "t-1")
	openTab(t, other, acme, "t-2")
	ask := func(s *server.Server, key, body string) (p publisher.Preview) {
		t.Helper()
		call(t, s, key, http.MethodPost, "/v1/revocations/preview", body, &p)
		return p
	}
	var p publisher.Preview
	await(t, "the other process knows all sessions and gateways", func() bool {
		p = ask(other, acme, `{"scope":"tenant","tenant":"acme"}`)
		return p.Sessions.Count == 6 && len(p.Tabs.Gateways) == 2
	})
	if p.Tenant != "acme" || p.Sessions.Known != publisher.KnownAll || p.Sessions.Users != 3 || p.Sessions.Recent != 6 || p.Tabs.Known != publisher.KnownAll || p.Tabs.Count != 2 || p.Approval != "" {
		t.Errorf("got %+v", p)
	}
	if diff := cmp.Diff([]publisher.ClientSessions{{Client: "web", Sessions: 4}, {Client: "shop", Sessions: 2}}, p.Sessions.Clients); diff != "" {
		t.Errorf("applications (-want +got):\n%s", diff)
	}
	// Ann's two tabs sign in within a second each; of the three users that were seen two are taken for her, and one comes within 15 minutes.
	if want := (publisher.Logins{PerSecond: 2 + 1.0/900, WindowSeconds: 1}); p.Logins != want {
		t.Errorf("logins %+v, want %+v", p.Logins, want)
	}
	for body, want := range map[string]int{
		`{"scope":"client","client":"shop"}`: 2, `{"scope":"client","client":"none"}`: 0, `{"scope":"user","user":"u-1"}`: 2, `{"scope":"user","user":"u-1","except":["s-1"]}`: 1,
		`{"scope":"device","device":"d-u-2"}`: 2, `{"scope":"session","session":"s-4"}`: 1, `{"scope":"session","session":"unknown"}`: 0,
		`{"scope":"tenant","cutoff":"` + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) + `"}`: 0,
	} {
		if p := ask(one, acme, body); p.Sessions.Count != want || p.Sessions.Known != publisher.KnownAll {
			t.Errorf("%s: %+v, want %d", body, p.Sessions, want)
		}
	}
	if p := ask(one, globex, `{"scope":"tenant"}`); p.Sessions.Count != 1 || p.Tabs.Count != 0 {
		t.Errorf("another tenant's: %+v", p)
	}
	if status, answer := answerOf(t, one, globex, http.MethodPost, "/v1/revocations/preview", `{"scope":"tenant","tenant":"acme"}`); status != http.StatusUnprocessableEntity {
		t.Errorf("a tenant that isn't the key's: %d %s", status, answer)
	}
	// Nothing was done; what is done then isn't counted again.
	var stored publisher.Stored
	call(t, one, acme, http.MethodPost, "/v1/revocations", `{"scope":"client","client":"web"}`, &stored)
	await(t, "what is over isn't counted again", func() bool { return ask(other, acme, `{"scope":"tenant"}`).Sessions.Count == 2 })
}

// Where nobody holds conns no tabs are counted, and no time is lost.
func TestPreviewWithoutGateways(t *testing.T) {
	cfg := testConfig(t)
	cfg.Roles = []string{config.RolePublisher}
	s := start(t, cfg)
	var p publisher.Preview
	call(t, s, newKey(t, s, "acme", access.Scopes()...), http.MethodPost, "/v1/revocations/preview", `{"scope":"tenant"}`, &p)
	if p.Tabs.Count != 0 || p.Sessions.Count != 0 || p.Logins != (publisher.Logins{}) {
		t.Errorf("got %+v", p)
	}
}
