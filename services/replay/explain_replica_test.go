package replay_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// replica reads the desk's own ledger.
func (d *desk) replica(t *testing.T) *revocation.Replica {
	t.Helper()
	if _, err := d.bus.JetStream().Publish(t.Context(), events.TopicBeat, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	r, err := revocation.Open(t.Context(), revocation.Config{Feed: revocationnats.NewFeed(d.bus.JetStream(), revocationnats.Config{Stream: bus.LedgerStream})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// asTheReplica fails the test where the explanation says something else of a session of acme than a replica that has read the same ledger.
func (d *desk) asTheReplica(t *testing.T, r *revocation.Replica, s revocation.Session) {
	t.Helper()
	s.Tenant = "acme"
	want := r.Check(s)
	query := url.Values{"session": {s.ID}, "user": {s.User}, "auth_time": {s.AuthTime.UTC().Format(time.RFC3339Nano)}}
	if got := d.explain(t, d.key, query); got.State != want.State.String() || got.Scope != want.Scope || got.Reason != want.Reason {
		t.Errorf("%+v: the replica says %s %s %s, and the explanation %s %s %s", s, want.State, want.Scope, want.Reason, got.State, got.Scope, got.Reason)
	}
}

// TestExplainLeavesOutWhatReplicasSkip: a cutoff too far ahead of when it was stored is skipped by every replica, with all that the event says.
func TestExplainLeavesOutWhatReplicasSkip(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	now := events.Floor(time.Now())
	at := d.store(t, &events.UserLoggedOutEverywhere{Common: common(t), User: "PLANTED ann", Cutoff: now.Add(24 * time.Hour), KnownSessions: []string{"PLANTED s1"}})
	r := d.replica(t)
	for _, s := range []revocation.Session{{ID: "PLANTED s1", User: "PLANTED ann", AuthTime: now.Add(-time.Hour)}, {ID: "PLANTED s2", User: "PLANTED ann", AuthTime: now.Add(-time.Hour)}} {
		d.asTheReplica(t, r, s)
		got := d.explain(t, d.key, url.Values{"session": {s.ID}, "user": {s.User}, "auth_time": {s.AuthTime.UTC().Format(time.RFC3339Nano)}})
		if len(got.Sparing) != 1 || got.Sparing[0].Position != at || got.Sparing[0].Why != "replicas skip it: its cutoff lay too far ahead when it was stored" {
			t.Errorf("it isn't told why: %+v", got)
		}
	}
}

// TestExplainOfALedgerThatLostEvents: up to the leeway behind the moment since which the ledger is whole, sessions are over.
func TestExplainOfALedgerThatLostEvents(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	whole := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	stream, err := d.bus.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Metadata[bus.WholeSinceMetadata] = whole.Format(time.RFC3339)
	if _, err := d.bus.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	r := d.replica(t)
	for _, began := range []time.Duration{-time.Minute, 0, time.Millisecond, time.Minute, revocation.DefaultLeeway - time.Millisecond, revocation.DefaultLeeway, revocation.DefaultLeeway + time.Millisecond} {
		d.asTheReplica(t, r, revocation.Session{ID: "PLANTED s", User: "PLANTED ann", AuthTime: whole.Add(began)})
	}
}
