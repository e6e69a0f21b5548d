package replay_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/services/replay"
)

// TestStateOfAUser: what names the user, what names nobody but is of a session or a device that the registry knows for the user's, and what is everybody's; nothing of others.
func TestStateOfAUser(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	begun := events.Floor(time.Now().Add(-time.Hour)).UTC()
	d.sessions = []sessionstore.Session{{Tenant: "acme", ID: "PLANTED s1", User: "PLANTED ann", Device: "PLANTED d1", AuthTime: begun}, {Tenant: "acme", ID: "PLANTED s3", User: "PLANTED ann", AuthTime: begun}}
	own := d.session(t, "PLANTED s2", "PLANTED ann")
	d.session(t, "PLANTED s9", "PLANTED bob")
	unnamed := d.session(t, "PLANTED s1", "")
	user := d.store(t, &events.UserLoggedOutEverywhere{Common: common(t), User: "PLANTED ann", Cutoff: begun.Add(-time.Minute), KnownSessions: []string{"PLANTED s4"}})
	d.store(t, &events.UserLoggedOutEverywhere{Common: common(t), User: "PLANTED bob", Cutoff: begun, KnownSessions: []string{"PLANTED s8"}})
	device := d.store(t, &events.DeviceLoggedOut{Common: common(t), Device: "PLANTED d1", Cutoff: begun.Add(-time.Minute)})
	d.store(t, &events.DeviceLoggedOut{Common: common(t), Device: "PLANTED d9", Cutoff: begun})
	client := d.store(t, &events.ClientLoggedOut{Common: common(t), Client: "PLANTED app", Cutoff: begun.Add(-time.Minute)})
	c := common(t)
	c.Tenant = "globex"
	d.store(t, &events.TenantLoggedOut{Common: c, Cutoff: begun})
	var got replay.State
	d.told(t, t, d.key, "/v1/state", url.Values{"user": {"PLANTED ann"}}, &got)
	want := map[string][]uint64{
		"session:PLANTED s2": {own}, "session:PLANTED s1": {unnamed}, "session:PLANTED s4": {user}, "user:PLANTED ann": {user}, "device:PLANTED d1": {device}, "client:PLANTED app": {client},
	}
	if diff := cmp.Diff(want, byKey(got.InForce)); diff != "" || got.Registry != replay.RegistryAsked {
		t.Errorf("%s: %s", got.Registry, diff)
	}
	if s4 := got.InForce[len(got.InForce)-1]; s4.By != events.KindUser || !s4.Cutoff.IsZero() || s4.ForgottenAt.Before(time.Now()) || s4.ID == "" {
		t.Errorf("a session that the user's event names: %+v", s4)
	}
	// Without the registry what names nobody can't be told for the user's, and that is said.
	d.awry = sessionstore.ErrUnavailable
	d.told(t, t, d.key, "/v1/state", url.Values{"user": {"PLANTED ann"}, "scope": {"session"}}, &got)
	delete(want, "session:PLANTED s1")
	for _, other := range []string{"user:PLANTED ann", "device:PLANTED d1", "client:PLANTED app"} {
		delete(want, other)
	}
	if diff := cmp.Diff(want, byKey(got.InForce)); diff != "" || got.Registry != replay.RegistryAway {
		t.Errorf("%s: %s", got.Registry, diff)
	}
}

// TestPastOfAUserWithManySessions: that some of the user's sessions weren't looked at is said.
func TestPastOfAUserWithManySessions(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	begun := events.Floor(time.Now().Add(-time.Hour)).UTC()
	at := d.session(t, "PLANTED", "PLANTED ann")
	for n := range sessionstore.MaxListed + 1 {
		if n == sessionstore.MaxListed {
			var got replay.State
			if d.told(t, t, d.key, "/v1/state", url.Values{"user": {"PLANTED ann"}}, &got); got.Registry != replay.RegistryAsked {
				t.Errorf("of %d sessions: %s", n, got.Registry)
			}
		}
		d.sessions = append(d.sessions, sessionstore.Session{Tenant: "acme", ID: fmt.Sprint("PLANTED ", n), User: "PLANTED ann", AuthTime: begun})
	}
	last := d.session(t, "PLANTED 7", "")
	var state replay.State
	d.told(t, t, d.key, "/v1/state", url.Values{"user": {"PLANTED ann"}}, &state)
	var diff replay.Diff
	d.told(t, t, d.key, "/v1/diff", url.Values{"user": {"PLANTED ann"}, "from": {fmt.Sprint(at)}, "to": {fmt.Sprint(last)}}, &diff)
	if state.Registry != replay.RegistryInPart || diff.Registry != replay.RegistryInPart || len(state.InForce) != 2 {
		t.Errorf("%s and %s, %d in force", state.Registry, diff.Registry, len(state.InForce))
	}
}

// TestDiffOfAUser tells which of the registry's sessions became revoked, by which event.
func TestDiffOfAUser(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	begun := events.Floor(time.Now().Add(-time.Hour)).UTC()
	first := d.session(t, "PLANTED gone", "PLANTED ann")
	before := d.store(t, &events.UserLoggedOutEverywhere{Common: common(t), User: "PLANTED ann", Cutoff: begun.Add(-time.Minute)})
	later := d.store(t, &events.UserLoggedOutEverywhere{Common: common(t), User: "PLANTED ann", Cutoff: begun, Except: []string{"PLANTED here"}})
	device := d.store(t, &events.DeviceLoggedOut{Common: common(t), Device: "PLANTED d", Cutoff: begun.Add(time.Minute)})
	session := func(id string, authTime time.Time) sessionstore.Session {
		return sessionstore.Session{Tenant: "acme", ID: id, User: "PLANTED ann", AuthTime: authTime}
	}
	onDevice := session("PLANTED on d", begun.Add(time.Second))
	onDevice.Device = "PLANTED d"
	d.sessions = []sessionstore.Session{
		session("PLANTED gone", begun), session("PLANTED here", begun), session("PLANTED there", begun), session("PLANTED new", begun.Add(time.Minute)), onDevice,
		session("PLANTED old", time.Now().Add(-40*24*time.Hour)), session("PLANTED ahead", time.Now().Add(time.Minute)),
	}
	var got replay.Diff
	d.told(t, t, d.key, "/v1/diff", url.Values{"user": {"PLANTED ann"}, "from": {fmt.Sprint(before)}, "to": {fmt.Sprint(device)}}, &got)
	type told struct {
		session, before string
		scope           revocation.Scope
		position        uint64
	}
	var sessions []told
	for _, s := range got.Sessions {
		sessions = append(sessions, told{s.Session, s.Before, s.Scope, s.Event.Position})
	}
	if diff := cmp.Diff([]told{{"PLANTED on d", "active", "device", device}, {"PLANTED there", "active", "user", later}}, sessions, cmp.AllowUnexported(told{})); diff != "" {
		t.Error(diff)
	}
	var changes []string
	for _, c := range got.Changes {
		changes = append(changes, fmt.Sprint(c.Change, " ", c.Scope, " ", c.Position))
	}
	// What was the latest goes on for the session that the new one excepts.
	if diff := cmp.Diff([]string{fmt.Sprint("came device ", device), fmt.Sprint("came user ", later)}, changes); diff != "" {
		t.Error(diff)
	}
	if got.From.Position != before || got.To.Position != device || got.From.AsOf.IsZero() || got.Registry != replay.RegistryAsked {
		t.Errorf("%+v", got)
	}
	// Nothing at all, in between; and one scope alone has no sessions.
	var none replay.Diff
	d.told(t, t, d.key, "/v1/diff", url.Values{"user": {"PLANTED bob"}, "scope": {"session"}, "from": {fmt.Sprint(first)}, "to": {fmt.Sprint(before)}}, &none)
	if len(none.Changes) != 0 || none.Changes == nil || none.Sessions != nil {
		t.Errorf("%+v", none)
	}
}

func TestPastRefuses(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	d.session(t, "PLANTED", "")
	at := d.session(t, "PLANTED", "")
	for query, field := range map[string]string{
		"state?at=later": "at", "state?at=0": "at", "state?at=2999-01-01T00:00:00Z": "at", "state?at=99": "at", "state?tenant=*": "tenant", "state?tenant=globex": "tenant", "state?user=": "user",
		"state?scope=world": "scope", "state?limit=0": "limit", "state?limit=1001": "limit", "state?after=x": "after", "state?after=user:": "after", "state?from=1h": "from", "state?session=a": "session",
		"state?user=a&user=b": "user", "diff": "from", "diff?to=1h": "from", "diff?from=1h&at=1h": "at", "diff?from=1h&to=2h": "from", "diff?from=99": "from", "diff?from=1h&to=99": "to",
		fmt.Sprintf("diff?from=%d&to=%d", at, at): "from", "diff?from=1h&tenant=globex": "tenant",
	} {
		got := d.get(t, d.key, "/v1/"+query)
		if got.status != 400 || got.Code != "invalid_parameter" || len(got.Faults) != 1 || got.Faults[0].Field != field {
			t.Errorf("%q: got %d %s, want a fault of %s", query, got.status, got.body, field)
		}
	}
	var others replay.State
	d.told(t, t, d.operator, "/v1/state", url.Values{"tenant": {"globex"}}, &others)
	if others.Tenant != "globex" || len(others.InForce) != 0 {
		t.Errorf("%+v", others)
	}
}
