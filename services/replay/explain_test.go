package replay_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
	"github.com/curfewhq/curfew/services/replay"
)

func (d *desk) explain(t testing.TB, key string, query url.Values) replay.Explanation {
	t.Helper()
	got := d.get(t, key, "/v1/explain?"+query.Encode())
	if got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	var e replay.Explanation
	if err := json.Unmarshal(got.body, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestExplainAsTheReplica: whatever happened, and as of whichever position, the explanation is what a replica answers that has heard as much and no more.
func TestExplainAsTheReplica(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		tenant := fmt.Sprintf("t-%d", run)
		key := d.newKey(t, tenant, "read")
		begun := events.Floor(time.Now().Add(-time.Minute))
		moment := func(name string) time.Time {
			return begun.Add(time.Duration(rapid.IntRange(-2, 2).Draw(rt, name)) * time.Millisecond)
		}
		// Beyond max age, nearly so, and ahead: by less than the leeway and by more.
		far := func(name string) time.Time {
			offset := rapid.SampledFrom([]time.Duration{0, 0, 0, -40 * 24 * time.Hour, -30*24*time.Hour + time.Hour, 4 * time.Minute, 20 * time.Minute}).Draw(rt, name+" offset")
			at := moment(name).Add(offset)
			if rapid.Bool().Draw(rt, name+" in whole seconds") {
				at = at.Truncate(time.Second)
			}
			return at
		}
		id := rapid.SampledFrom([]string{"a", "b"})
		some := rapid.SampledFrom([]string{"", "a", "b"})
		feed := revocationtest.New()
		var positions []uint64
		var all []events.Event
		for range rapid.IntRange(1, 6).Draw(rt, "events") {
			c := common(t)
			c.Tenant, c.Reason = tenant, rapid.SampledFrom(events.Reasons()).Draw(rt, "reason")
			c.Replay = rapid.SampledFrom([]string{"", "", "r"}).Draw(rt, "replay")
			c.ExpiresAt = rapid.SampledFrom([]time.Time{{}, begun.Add(-time.Hour), begun.Add(60 * 24 * time.Hour)}).Draw(rt, "expires")
			var e events.Event
			switch rapid.SampledFrom(events.Kinds()).Draw(rt, "kind") {
			case events.KindSession:
				e = &events.SessionRevoked{Common: c, Session: id.Draw(rt, "session"), User: some.Draw(rt, "user")}
			case events.KindUser:
				u := &events.UserLoggedOutEverywhere{Common: c, User: id.Draw(rt, "user"), Cutoff: far("cutoff")}
				switch rapid.IntRange(0, 2).Draw(rt, "lists") {
				case 1:
					u.Except = []string{id.Draw(rt, "except")}
				case 2:
					u.KnownSessions = []string{id.Draw(rt, "known")}
				}
				e = u
			case events.KindDevice:
				e = &events.DeviceLoggedOut{Common: c, Device: id.Draw(rt, "device"), Cutoff: far("cutoff")}
			case events.KindClient:
				e = &events.ClientLoggedOut{Common: c, Client: id.Draw(rt, "client"), Cutoff: far("cutoff")}
			default:
				e = &events.TenantLoggedOut{Common: c, Cutoff: far("cutoff")}
			}
			positions, all = append(positions, d.store(t, e)), append(all, e)
			feed.Publish(e)
		}
		s := revocation.Session{Tenant: tenant, ID: some.Draw(rt, "session"), User: some.Draw(rt, "user"), Device: some.Draw(rt, "device"), Client: some.Draw(rt, "client")}
		query := url.Values{"session": {s.ID}, "user": {s.User}, "device": {s.Device}, "client": {s.Client}}
		for name, values := range query {
			if values[0] == "" {
				query.Del(name)
			}
		}
		if len(query) == 0 {
			return
		}
		if rapid.Bool().Draw(rt, "with an auth time") {
			s.AuthTime = far("auth time")
			query.Set("auth_time", s.AuthTime.Format(time.RFC3339Nano))
		}
		upTo := rapid.IntRange(1, len(positions)).Draw(rt, "up to")
		query.Set("at", fmt.Sprint(positions[upTo-1]))
		if upTo < len(positions) {
			feed.PutBack(uint64(upTo))
		}
		feed.Beat()
		replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed})
		if err != nil {
			rt.Fatal(err)
		}
		defer replica.Close()
		want, got := replica.Check(s), d.explain(t, key, query)
		now := time.Now()
		forgotten := want.EventPosition > 0 && !replica.KeepsUntil(all[want.EventPosition-1], now).After(now)
		if want.State == revocation.Revoked && (got.Scope == revocation.ScopeMaxAge && want.Scope != got.Scope || forgotten) && now.Sub(s.AuthTime) > replica.MaxAge() {
			// What ends a session past max age may be forgotten, and a replica keeps it somewhat longer: also if something ends the session that isn't forgotten yet.
			want.Scope, want.Reason, want.EventPosition = got.Scope, got.Reason, 0
		}
		if got.State != want.State.String() || got.Scope != want.Scope || got.Reason != want.Reason {
			rt.Fatalf("%+v: the replica says %s %s %s, and the explanation %s %s %s", s, want.State, want.Scope, want.Reason, got.State, got.Scope, got.Reason)
		}
		if want.EventPosition > 0 && (got.Event == nil || got.Event.Position != positions[want.EventPosition-1]) {
			rt.Fatalf("%+v: the replica names %d, and the explanation %+v", s, positions[want.EventPosition-1], got.Event)
		}
	})
}

func TestExplainTellsWhy(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	begun := events.Floor(time.Now().Add(-time.Hour)).UTC()
	c := common(t)
	c.ReasonAdmin, c.Initiator.ID = "PLANTED why", "PLANTED op"
	earlier := d.store(t, &events.UserLoggedOutEverywhere{Common: common(t), User: "PLANTED ann", Cutoff: begun.Add(-time.Minute)})
	others := d.store(t, &events.UserLoggedOutEverywhere{Common: common(t), User: "PLANTED ann", Cutoff: begun.Add(time.Minute), Except: []string{"PLANTED s1"}})
	d.session(t, "PLANTED s2", "PLANTED ann")
	device := d.store(t, &events.DeviceLoggedOut{Common: common(t), Device: "PLANTED d", Cutoff: begun.Add(time.Minute)})
	named := d.store(t, &events.SessionRevoked{Common: c, Session: "PLANTED s1", User: "PLANTED ann"})
	query := url.Values{"session": {"PLANTED s1"}, "user": {"PLANTED ann"}, "device": {"PLANTED d"}, "auth_time": {begun.Format(time.RFC3339Nano)}}
	got := d.explain(t, d.key, query)
	if got.State != "revoked" || got.Scope != "session" || got.Event == nil || got.Event.Position != named || got.Event.ReasonAdmin != c.ReasonAdmin || got.Event.Initiator.ID != c.Initiator.ID {
		t.Errorf("%+v", got)
	}
	type told struct {
		Position uint64
		Why      string
	}
	of := func(list []replay.Finding) (out []told) {
		for _, f := range list {
			out = append(out, told{f.Position, f.Why})
		}
		return out
	}
	if diff := cmp.Diff([]told{{named, "it names the session"}, {device, "the session began up to its cutoff"}}, of(got.Ending)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]told{{others, "it excepts the session"}, {earlier, "the session began after its cutoff"}}, of(got.Sparing)); diff != "" {
		t.Error(diff)
	}
	if got.Endings != 2 || got.Sparings != 2 || !got.MaxAgeAt.Equal(begun.Add(30*24*time.Hour)) || got.Position != named || got.Event.ForgottenAt.Before(time.Now()) {
		t.Errorf("%+v", got)
	}
	// As of before: by the position, and by the time.
	before := d.explain(t, d.key, with(query, "at", fmt.Sprint(named-1)))
	if before.State != "revoked" || before.Scope != "device" || before.Event.Position != device || before.Position != named-1 {
		t.Errorf("%+v", before)
	}
	if got := d.explain(t, d.key, with(query, "at", got.Event.Stored.Add(-time.Nanosecond).Format(time.RFC3339Nano))); got.Scope != "device" || got.Position != device {
		t.Errorf("by time: %+v", got)
	}
	if again := d.explain(t, d.key, with(query, "at", got.Event.Stored.Format(time.RFC3339Nano))); cmp.Diff(got, again, cmpopts.IgnoreFields(replay.Explanation{}, "AsOf", "Replicas", "Tabs")) != "" {
		t.Errorf("at its very time: %+v", again)
	}
	if got := d.explain(t, d.key, with(query, "at", fmt.Sprint(others))); got.State != "active" || got.Event != nil {
		t.Errorf("%+v", got)
	}
	if got := d.explain(t, d.key, with(query, "at", fmt.Sprint(others), "user", "")); got.State != "undetermined" || !slices.Equal(got.Missing, []string{"user"}) {
		t.Errorf("%+v", got)
	}
	old := d.explain(t, d.key, with(query, "at", fmt.Sprint(others), "auth_time", begun.Add(-40*24*time.Hour).Format(time.RFC3339Nano)))
	if old.State != "revoked" || old.Scope != "user" {
		t.Errorf("%+v", old)
	}
	if got := d.explain(t, d.key, with(query, "at", "", "session", "PLANTED other", "user", "PLANTED other", "device", "", "auth_time", begun.Add(-40*24*time.Hour).Format(time.RFC3339Nano))); got.Scope != revocation.ScopeMaxAge || got.Event != nil || got.State != "revoked" || !got.LostBefore.IsZero() {
		t.Errorf("%+v", got)
	}
	if got := d.explain(t, d.operator, with(query, "tenant", "globex")); got.State != "active" || got.Tenant != "globex" {
		t.Errorf("%+v", got)
	}
}

// with returns a query with some parameters changed; an empty one is left out.
func with(query url.Values, changes ...string) url.Values {
	out := url.Values{}
	for name, values := range query {
		out[name] = values
	}
	for i := 0; i < len(changes); i += 2 {
		out.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			out.Del(changes[i])
		}
	}
	return out
}

func TestExplainRefuses(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	d.session(t, "PLANTED", "")
	for query, field := range map[string]string{
		"": "session", "auth_time=2026-08-04T12:00:00Z": "session", "session=": "session", "session=%00": "session", "session=a&session=b": "session", "session=a;b": "query", "PLANTED=1": "query", "sid=a": "sid",
		"session=a&auth_time=yesterday": "auth_time", "session=a&at=later": "at", "session=a&at=0": "at", "session=a&at=2999-01-01T00:00:00Z": "at", "session=a&at=2": "at", "session=a&tenant=*": "tenant",
		"session=a&tenant=globex": "tenant", "session=a&tenant=": "tenant",
	} {
		got := d.get(t, d.key, "/v1/explain?"+query)
		if got.status != 400 || got.Code != "invalid_parameter" || len(got.Faults) != 1 || got.Faults[0].Field != field {
			t.Errorf("%q: got %d %s, want a fault of %s", query, got.status, got.body, field)
		}
	}
}
