package gate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
)

func form(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// All that is live comes first, in the order of the ledger, then the proof, then what happens; and never what is another tenant's.
func TestStreamSnapshotThenTail(t *testing.T) {
	s := newStation(t, natstest.Bus(t), nil)
	at := time.Now().UTC().Truncate(time.Millisecond)
	common := func(tenant string) events.Common {
		c := commonOf(t, tenant, events.ReasonPasswordChanged)
		c.Time = at
		return c
	}
	end := at.Add(24 * time.Hour)
	cutoff := at.Add(-time.Minute)
	ms := cutoff.UnixMilli()
	all := []events.Event{
		&events.SessionRevoked{Common: common("acme"), Session: "s1", User: "ann", Device: "d1", Client: "c1", AuthTime: cutoff, SessionExpiresAt: end},
		&events.SessionRevoked{Common: common("globex"), Session: "s1"},
		&events.UserLoggedOutEverywhere{Common: common("acme"), User: "ann", Cutoff: cutoff, Except: []string{"s2"}, KnownSessions: []string{"s3", "s4"}},
		&events.UserLoggedOutEverywhere{Common: common("acme"), User: `<bob> & "x"`, Cutoff: cutoff},
		&events.DeviceLoggedOut{Common: common("acme"), Device: "d1", User: "ann", Cutoff: cutoff},
		&events.ClientLoggedOut{Common: common("acme"), Client: "c1", Cutoff: cutoff},
		&events.TenantLoggedOut{Common: common("globex"), Cutoff: cutoff},
		&events.TenantLoggedOut{Common: common("acme"), Cutoff: cutoff},
	}
	var want []frameData
	for _, e := range all {
		position := s.publish(t, e)
		c := e.Meta()
		if c.Tenant != "acme" {
			continue
		}
		d := frameData{Position: position, ID: c.ID, Scope: string(e.Kind()), User: e.UserID(), Reason: "password_changed", At: form(at)}
		until := cutoff
		switch e := e.(type) {
		case *events.SessionRevoked:
			d.Session, d.Device, d.Client, until = "s1", "d1", "c1", end.Add(-revocation.DefaultMaxAge)
		case *events.UserLoggedOutEverywhere:
			d.Except, d.KnownSessions = e.Except, e.KnownSessions
			if len(e.KnownSessions) > 0 {
				until = at // these are kept for longer than the cutoff
			}
		case *events.DeviceLoggedOut:
			d.Device = "d1"
		case *events.ClientLoggedOut:
			d.Client = "c1"
		}
		if d.Scope != "session" {
			d.CutoffMS = &ms
		}
		d.ExpiresAt = form(until.Add(revocation.DefaultMaxAge + revocation.DefaultLeeway))
		want = append(want, d)
	}

	st := s.open(t, s.acme, "")
	frames := st.await("synced")
	if diff := cmp.Diff(want, revocations(t, frames)); diff != "" {
		t.Errorf("the snapshot (-want +got):\n%s", diff)
	}
	synced := frames[len(frames)-1].read(t)
	got := []any{synced.MaxAgeMS, synced.StalenessBudgetMS, synced.LeewayMS, synced.Position > want[len(want)-1].Position}
	if diff := cmp.Diff([]any{int64(30 * 24 * 3600 * 1000), int64(12_000), int64(300_000), true}, got); diff != "" {
		t.Errorf("synced (-want +got):\n%s", diff)
	}
	if _, err := time.Parse(time.RFC3339, synced.At); err != nil {
		t.Error(err)
	}

	s.publish(t, revokedIn(t, "globex", "theirs"))
	last := s.publish(t, revokedIn(t, "acme", "ours"))
	if diff := cmp.Diff([]string{"ours"}, sessions(t, st.upTo(last))); diff != "" {
		t.Errorf("the tail (-want +got):\n%s", diff)
	}
	counted(t, s.metrics.Streams, 1)
	st.leave()
	s.endedBecause(t, "left")
	// One is the replica's.
	eventually(t, "nothing is left of the stream", func() bool { return stateOf(t, s.bus).Consumers == 1 })
}

// Who comes back to any position gets exactly what came behind it.
func TestStreamResumes(t *testing.T) {
	s := newStation(t, natstest.Bus(t), nil)
	var positions []uint64
	var names []string
	for i := range 8 {
		s.publish(t, revokedIn(t, "globex", fmt.Sprint("theirs", i)))
		names = append(names, fmt.Sprint("s", i))
		positions = append(positions, s.publish(t, revokedIn(t, "acme", names[i])))
	}
	for i, p := range positions {
		// Behind the one before, in the middle between them, and at it.
		for since, want := range map[uint64][]string{p - 2: names[i:], p - 1: names[i:], p: names[i+1:]} {
			if since == 0 || i == 0 && since < p-1 {
				continue // before the first there may be nothing, or beats that are gone
			}
			if got := sessions(t, s.open(t, s.acme, fmt.Sprint("?since=", since)).await("synced")); !cmp.Equal(got, append([]string{}, want...)) {
				t.Errorf("since %d: %v, want %v", since, got, want)
			}
			header := s.open(t, s.acme, "?since=1", "Last-Event-ID", fmt.Sprint(since))
			if got := sessions(t, header.await("synced")); !cmp.Equal(got, append([]string{}, want...)) {
				t.Errorf("Last-Event-ID %d: %v, want %v", since, got, want)
			}
		}
	}
	if got := sessions(t, s.open(t, s.acme, "?since=0").await("synced")); !cmp.Equal(got, names) {
		t.Errorf("since 0: %v, want all", got)
	}
}

// A stream that is cut at any frame and resumed at the position of the last one that was read whole loses nothing.
func TestStreamIsCutAnywhere(t *testing.T) {
	s := newStation(t, natstest.Bus(t), nil)
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprint("s", i))
		s.publish(t, revokedIn(t, "acme", names[i]))
	}
	seen, since, got := map[string]bool{}, "", []string{}
	for cut := 1; len(got) < len(names); cut = cut%4 + 1 {
		st := s.open(t, s.acme, since)
		for range cut {
			f, err := st.next()
			if err != nil {
				t.Fatal(err)
			}
			if f.event != "revocation" {
				continue
			}
			d := f.read(t)
			since = fmt.Sprint("?since=", d.Position)
			if !seen[d.Session] {
				seen[d.Session], got = true, append(got, d.Session)
			}
		}
		st.leave()
	}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What no session needs any longer isn't sent, and neither is a cutoff that would lock people out, nor what can't be read.
func TestStreamLeavesOut(t *testing.T) {
	s := newStation(t, natstest.Bus(t), nil)
	old := func(ago time.Duration, reason events.Reason) events.Common {
		c := commonOf(t, "acme", reason)
		// A replay tells its own time, which is long ago.
		c.Time, c.Replay = time.Now().Add(-ago), "again"
		return c
	}
	day := 24 * time.Hour
	kept := old(31*day, events.ReasonAdmin)
	kept.ExpiresAt = time.Now().Add(day)
	s.publish(t,
		&events.SessionRevoked{Common: old(31*day, events.ReasonAdmin), Session: "over"},
		&events.SessionRevoked{Common: old(29*day, events.ReasonAdmin), Session: "live"},
		&events.SessionRevoked{Common: kept, Session: "kept"},
		&events.SessionRevoked{Common: old(10*day, events.ReasonAdmin), Session: "ended", SessionExpiresAt: time.Now().Add(-day)},
		&events.UserLoggedOutEverywhere{Common: old(31*day, events.ReasonAdmin), User: "ann", Cutoff: time.Now().Add(-31 * day)},
		&events.UserLoggedOutEverywhere{Common: commonOf(t, "acme", events.ReasonAdmin), User: "bob", Cutoff: time.Now().Add(time.Hour)},
	)
	publishFor(t, s.bus, "60s", events.Topic{Tenant: "acme", Kind: events.KindSession}.String(), []byte("no event"))
	last := s.publish(t, revokedIn(t, "acme", "last"))
	st := s.open(t, s.acme, "")
	if diff := cmp.Diff([]string{"live", "kept", "last"}, sessions(t, st.upTo(last))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A ledger that may have lost events of live sessions says so by a cutoff.
func TestStreamTellsSinceWhenTheLedgerIsWhole(t *testing.T) {
	b := natstest.Bus(t)
	since := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	stream, err := b.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Metadata[bus.WholeSinceMetadata] = since.Format(time.RFC3339)
	if _, err := b.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	s := newStation(t, b, nil)
	position := s.publish(t, revokedIn(t, "acme", "s1"))
	frames := revocations(t, s.open(t, s.acme, "").await("synced"))
	cutoff := since.Add(revocation.DefaultLeeway)
	ms := cutoff.UnixMilli()
	want := frameData{ID: "whole_since", Scope: "tenant", CutoffMS: &ms, Reason: "max_age", At: form(since), ExpiresAt: form(cutoff.Add(revocation.DefaultMaxAge + revocation.DefaultLeeway))}
	if len(frames) != 2 || !cmp.Equal(want, frames[0]) {
		t.Errorf("got %+v, want %+v first", frames, want)
	}
	// Who was there when it was whole has missed nothing.
	if got := sessions(t, s.open(t, s.acme, fmt.Sprint("?since=", position)).await("synced")); len(got) != 0 {
		t.Errorf("since %d: %v", position, got)
	}
}

// Where the ledger isn't what it was, the follower must load it anew.
func TestStreamResets(t *testing.T) {
	t.Run("ahead", func(t *testing.T) {
		s := newStation(t, natstest.Bus(t), nil)
		s.mustReset(t, "?since=1000000")
	})
	t.Run("forgotten", func(t *testing.T) {
		b := natstest.Bus(t)
		topic := events.Topic{Tenant: "acme", Kind: events.KindSession}.String()
		publishFor(t, b, "1s", topic, []byte("a"))
		publishFor(t, b, "1s", topic, []byte("b"))
		eventually(t, "both are gone", func() bool { return stateOf(t, b).FirstSeq == 3 })
		s := newStation(t, b, nil)
		s.publish(t, revokedIn(t, "acme", "s1"))
		s.mustReset(t, "?since=1")
		// Nothing was lost behind the second.
		if got := sessions(t, s.open(t, s.acme, "?since=2").await("synced")); !cmp.Equal(got, []string{"s1"}) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("made anew while it is followed", func(t *testing.T) {
		s := newStation(t, natstest.Bus(t), nil)
		position := s.publish(t, revokedIn(t, "acme", "s1"), revokedIn(t, "acme", "s2"))
		st := s.open(t, s.acme, "")
		st.upTo(position)
		if err := s.bus.JetStream().DeleteStream(t.Context(), bus.LedgerStream); err != nil {
			t.Fatal(err)
		}
		if err := s.bus.EnsureStreams(t.Context()); err != nil {
			t.Fatal(err)
		}
		st.await("reset")
		if f, err := st.next(); !errors.Is(err, io.EOF) {
			t.Errorf("after the reset: %+v, %v", f, err)
		}
		s.endedBecause(t, "reset")
	})
}

// mustReset opens a stream that is reset, says nothing else and ends.
func (s *station) mustReset(t *testing.T, query string) {
	t.Helper()
	st := s.open(t, s.acme, query)
	if frames := st.await("reset"); len(frames) != 1 {
		t.Errorf("before the reset: %+v", frames)
	}
	if f, err := st.next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the reset: %+v, %v", f, err)
	}
	s.endedBecause(t, "reset")
}

// stateOf is the ledger's state.
func stateOf(t testing.TB, b *bus.Bus) jetstream.StreamState {
	t.Helper()
	stream, err := b.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State
}

// A key that is revoked ends its streams, whether there is news or not (trap 23).
func TestTrap23StreamEndsWithItsKey(t *testing.T) {
	s := newStation(t, natstest.Bus(t), nil)
	key, text := accesstest.Key(t, s.store, "acme", access.ScopeCheck)
	st := s.open(t, text, "")
	st.await("beat")
	if _, err := s.store.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	s.publish(t, revokedIn(t, "acme", "secret"))
	frames, err := st.ends()
	if !errors.Is(err, io.EOF) || len(sessions(t, frames)) > 0 {
		t.Errorf("a revoked key was sent %v, and then %v", frames, err)
	}
	s.endedBecause(t, "key_revoked")
	if resp := s.get(t, t.Context(), text, ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("opening again: %d", resp.StatusCode)
	}
}

// A server that stops ends its streams at once, says when to come back, and takes no others.
func TestStreamDrains(t *testing.T) {
	s := newStation(t, natstest.Bus(t), nil)
	var open []*stream
	for range 5 {
		open = append(open, s.open(t, s.acme, ""))
		open[len(open)-1].await("beat")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.svc.Drain(ctx)
	if ctx.Err() != nil {
		t.Fatal("the streams didn't end")
	}
	for _, st := range open {
		frames, err := st.ends()
		if !errors.Is(err, io.EOF) || len(frames) == 0 || frames[len(frames)-1].retry == "" {
			t.Errorf("a stream ended with %v, %v", frames, err)
		}
	}
	counted(t, s.metrics.StreamsEnded.WithLabelValues("draining"), 5)
	s.refused(t, "", 503, "draining")
}

// refused expects a problem instead of a stream.
func (s *station) refused(t *testing.T, query string, status int, code string, header ...string) {
	t.Helper()
	resp := s.get(t, t.Context(), s.acme, query, header...)
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != status || !strings.Contains(string(body), `"code":"`+code+`"`) {
		t.Errorf("%s: %d %s, want %d %s", query, resp.StatusCode, body, status, code)
	}
	if (status == 503) != (resp.Header.Get("Retry-After") != "") {
		t.Errorf("%s: %d with Retry-After %q", query, status, resp.Header.Get("Retry-After"))
	}
}

func TestStreamParameters(t *testing.T) {
	s := newStation(t, natstest.Bus(t), nil)
	for _, query := range []string{"?since=", "?since=x", "?since=-1", "?since=1.5", "?since=99999999999999999999", "?since=1&since=1", "?tenant=globex", "?since=1&x=y", "?%zz"} {
		s.refused(t, query, 400, "invalid_parameter")
	}
	s.refused(t, "", 400, "invalid_parameter", "Last-Event-ID", "over")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "http://"+s.api.Addr()+"/v1/revocations/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.acme)
	resp, err := s.client.Do(req)
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %v, %v", resp, err)
	}
}
