package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/receipts"
	"github.com/curfewhq/curfew/internal/signing"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/services/publisher"
)

// answers acknowledges the notice that a tab is sent, unless it is told to say nothing, and reads on until the conn ends.
func answers(t *testing.T, c *tabclient.Conn, outcome tab.Outcome) {
	t.Helper()
	go func() {
		for {
			f, err := c.Next(t.Context())
			if err != nil {
				return
			}
			if f.Type == tab.TypeLogout && outcome != "" {
				_ = c.Ack(f.ID, outcome) // or the conn is gone
			}
		}
	}()
}

// Two processes over one NATS, with tabs at both: a logout waits for both replicas and all tabs, and its receipt says what each has done.
func TestWaitUntilShown(t *testing.T) {
	srv := natstest.Start(t)
	cfg := testConfig(t)
	cfg.NATS.URL = srv.URL()
	a := start(t, cfg)
	cfg.DataDir = t.TempDir()
	b := start(t, cfg)
	key := sharedKey(t, a, b, "default", access.ScopePublish, access.ScopeRead, access.ScopeOperator)
	answers(t, openTab(t, a, key, "s-1"), tab.OutcomeSignedOut)
	answers(t, openTab(t, b, key, "s-2"), tab.OutcomeAlready)
	answers(t, openTab(t, b, key, "s-3"), tab.OutcomeIgnored)
	var stored publisher.Stored
	await(t, "both replicas are heard", func() bool {
		call(t, b, key, http.MethodPost, "/v1/revocations?wait=applied&timeout=10s", `{"scope":"session","session":"other"}`, &stored)
		return stored.Receipt.Replicas.Applied == 2
	})
	// One tab says nothing: when the time is over the receipt says so, and when the gateway has given it up it says that.
	silent := openTab(t, b, key, "s-4")
	answers(t, silent, "")
	call(t, a, key, http.MethodPost, "/v1/revocations?wait=shown&timeout=300ms", `{"scope":"session","session":"s-4"}`, &stored)
	r := stored.Receipt
	if r.Complete || r.Tabs.Told != 1 || r.Tabs.Waiting != 1 || !strings.Contains(r.Sentence, "shown to 0/1 tabs, 1 haven't answered") {
		t.Errorf("got %s: %+v", r.Sentence, r.Tabs)
	}
	_ = silent.Close()
	var later receipts.Answer
	await(t, "it is gone", func() bool {
		call(t, b, key, http.MethodGet, "/v1/receipts/"+stored.ID+"?wait=shown&timeout=5s", "", &later)
		return later.Complete
	})
	if later.Tabs.Gone != 1 || later.Event != stored.ID {
		t.Errorf("got %s: %+v", later.Sentence, later.Tabs)
	}

	// The others answer, each in its way.
	call(t, a, key, http.MethodPost, "/v1/users/ann/logout?wait=shown&timeout=10s", `{"scope":"everywhere"}`, &stored)
	r = stored.Receipt
	if tabs := r.Tabs; !r.Complete || tabs == nil || tabs.Told != 3 || tabs.SignedOut != 1 || tabs.Already != 1 || tabs.Ignored != 1 || len(tabs.Gateways) != 2 || r.Replicas.Applied != 2 {
		t.Errorf("got %s: %+v", r.Sentence, r.Tabs)
	}
}

// A tenant's own keys see what their logouts have reached, and no names of machines; another tenant's see nothing of it.
func TestReceiptsTellTenantsNoNames(t *testing.T) {
	s := start(t, testConfig(t))
	own, other := newKey(t, s, "acme", access.ScopePublish, access.ScopeRead), newKey(t, s, "globex", access.ScopePublish, access.ScopeRead, access.ScopeAdmin)
	operator := newKey(t, s, "acme", access.ScopeRead, access.ScopeOperator)
	var stored publisher.Stored
	call(t, s, own, http.MethodPost, "/v1/revocations?wait=shown&timeout=10s", `{"scope":"session","session":"s-1","user":"ann"}`, &stored)
	path := "/v1/receipts/" + stored.ID
	await(t, "it is kept", func() bool {
		status, _ := answerOf(t, s, own, http.MethodGet, path, "")
		return status == http.StatusOK
	})
	var named, nameless receipts.Answer
	call(t, s, operator, http.MethodGet, path, "", &named)
	call(t, s, own, http.MethodGet, path, "", &nameless)
	name := named.Replicas.Named[0].Name
	if named.Replicas.Named[0].Group != "curfew" || len(name) < 3 {
		t.Errorf("an operator sees %+v", named.Replicas)
	}
	var keys json.RawMessage
	call(t, s, own, http.MethodGet, "/v1/receipts/keys", "", &keys)
	public, err := signing.ParsePublic(keys)
	if err != nil {
		t.Fatal(err)
	}
	for who, a := range map[string]receipts.Answer{"operator": named, "own": nameless} {
		payload, _, err := signing.Verify(public, receipts.Type, a.Token)
		if err != nil || strings.Contains(string(payload), name) != (who == "operator") {
			t.Errorf("%s: %s: %v", who, payload, err)
		}
	}
	stated, err := json.Marshal(stored.Receipt)
	if err != nil || strings.Contains(string(stated), name) || strings.Contains(nameless.Sentence, name) {
		t.Errorf("%s: %v", stated, err)
	}
	for _, path := range []string{path, path + "?wait=applied", path + "?wait=applied&position=2"} {
		if status, answer := answerOf(t, s, other, http.MethodGet, path, ""); status != http.StatusNotFound {
			t.Errorf("another tenant gets %d %s", status, answer)
		}
	}
	if _, answer := answerOf(t, s, other, http.MethodGet, "/v1/receipts", ""); strings.Contains(string(answer), stored.ID) {
		t.Errorf("another tenant's list: %s", answer)
	}
}
