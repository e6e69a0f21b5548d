package replay_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/replay"
)

// TestReplayOfWhoIsVouchedFor: whoever is signed in to the console has no key, and is vouched for while a request lasts. The replay goes on behind that.
func TestReplayOfWhoIsVouchedFor(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	for i := range 30 {
		d.session(t, fmt.Sprint(planted, i), "u")
	}
	who := access.Key{ID: "oidc-someone", Tenant: "acme", Scopes: []access.Scope{access.ScopeRead, access.ScopeOperator}}
	ctx, end := d.keys.Vouch(t.Context(), who)
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/replays", bytes.NewBufferString(`{"target":{"kind":"file"},"execute":true}`))
	w := httptest.NewRecorder()
	d.api.Handler.ServeHTTP(w, req)
	end()
	var got replay.Replay
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusAccepted || got.KeyID != who.ID {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	d.run(t)
	if got := d.await(t, got.ID, replay.StateDone); got.Sent != 30 {
		t.Errorf("%+v", got)
	}
}

// TestKeyRevokedWhileItWaits: a replay whose key is revoked before its turn sends nothing at all.
func TestKeyRevokedWhileItWaits(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	for i := range 30 {
		d.session(t, fmt.Sprint(planted, i), "u")
	}
	var sent atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sent.Add(1) }))
	defer receiver.Close()
	key, text := accesstest.Key(t, d.keys, "acme", access.ScopeOperator)
	got := d.call(t, text, http.MethodPost, "/v1/replays", `{"target":{"kind":"webhook","url":"`+receiver.URL+`"},"execute":true}`)
	if got.status != http.StatusAccepted {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if _, err := d.keys.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	d.run(t)
	eventually(t, "it is over", func() bool {
		state := d.status(t, got.replay.ID).State
		return state == replay.StateFailed || state == replay.StateDone
	})
	if n, is := sent.Load(), d.status(t, got.replay.ID); n > 0 || is.State != replay.StateFailed {
		t.Errorf("%d events were sent: %+v", n, is)
	}
}
