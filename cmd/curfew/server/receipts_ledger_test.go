package server_test

import (
	"net/http"
	"testing"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/receipts"
	"github.com/curfewhq/curfew/services/publisher"
)

// The ledger is made anew. What is stored in the new one isn't said to have been applied by a replica that hasn't noticed, and nothing is found out of an event that it doesn't hold.
func TestReceiptsOfALedgerMadeAnew(t *testing.T) {
	srv := natstest.Start(t)
	cfg := testConfig(t)
	cfg.NATS.URL = srv.URL()
	s := start(t, cfg)
	key := newKey(t, s, "default", access.ScopePublish, access.ScopeRead, access.ScopeOperator)
	var old, now publisher.Stored
	call(t, s, key, http.MethodPost, "/v1/revocations?wait=applied&timeout=5s", `{"scope":"session","session":"lost"}`, &old)
	for range 20 {
		call(t, s, key, http.MethodPost, "/v1/revocations?wait=applied&timeout=5s", `{"scope":"session","session":"x"}`, &now)
	}
	made := s.Replica().Status().Made
	if err := s.Bus().JetStream().DeleteStream(t.Context(), "CURFEW"); err != nil {
		t.Fatal(err)
	}
	if err := s.Bus().EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	call(t, s, key, http.MethodPost, "/v1/revocations?wait=applied&timeout=200ms", `{"scope":"session","session":"new"}`, &now)
	if now.Receipt.Complete && now.Receipt.Stream == made {
		t.Errorf("position %d of the new ledger: %s", now.Position, now.Receipt.Sentence)
	}
	await(t, "it notices", func() bool { st := s.Replica().Status(); return st.Made != made && st.Synced })
	for range 20 {
		call(t, s, key, http.MethodPost, "/v1/revocations?wait=applied&timeout=5s", `{"scope":"session","session":"y"}`, &now)
	}
	if !now.Receipt.Complete {
		t.Errorf("of the new ledger: %s", now.Receipt.Sentence)
	}
	var again receipts.Answer
	call(t, s, key, http.MethodGet, "/v1/receipts/"+old.ID+"?wait=applied&timeout=2s", "", &again)
	if again.Stream != made || again.Complete != old.Receipt.Complete {
		t.Errorf("an event that this ledger doesn't hold: %+v", again)
	}
}

// A key that only reads can't have a receipt replaced by one that says less.
func TestReadersDontReplaceReceipts(t *testing.T) {
	s := start(t, testConfig(t))
	key, reader := newKey(t, s, "default", access.ScopePublish, access.ScopeRead, access.ScopeOperator), newKey(t, s, "default", access.ScopeRead)
	var stored publisher.Stored
	call(t, s, key, http.MethodPost, "/v1/revocations?wait=shown&timeout=5s", `{"scope":"session","session":"s-1","user":"ann"}`, &stored)
	var before, asked, after receipts.Answer
	call(t, s, key, http.MethodGet, "/v1/receipts/"+stored.ID, "", &before)
	call(t, s, reader, http.MethodGet, "/v1/receipts/"+stored.ID+"?wait=applied&timeout=1ms", "", &asked)
	call(t, s, key, http.MethodGet, "/v1/receipts/"+stored.ID, "", &after)
	if after.Token != before.Token || after.Aim != receipts.Shown || after.Replicas.Named[0].AfterMS == nil {
		t.Errorf("before %s\nafter  %s", before.Sentence, after.Sentence)
	}
	if asked.Aim != receipts.Shown {
		t.Errorf("the reader is answered less than is known: %s", asked.Sentence)
	}
}
