package revocation

import (
	"slices"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
)

// The example of guarantees, section 3: an exception belongs to its own event only.
func TestExceptionsBelongToTheirEvent(t *testing.T) {
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	e1, e2 := everywhere(1, at(10), "A"), everywhere(2, at(20), "B")
	for _, order := range [][]events.Event{{e1, e2}, {e2, e1}} {
		set := setOf(order...)
		for _, tt := range []struct {
			name  string
			sid   string
			begun int
			want  events.Event
		}{
			{"A began at 5: over, by E2", "A", 5, e2},
			{"B began at 5: over, by E1", "B", 5, e1},
			{"B began at 15: alive", "B", 15, nil},
			{"A began at 15: over, by E2", "A", 15, e2},
			{"C began at 15: over, by E2", "C", 15, e2},
			{"C began at 21: alive", "C", 21, nil},
		} {
			t.Run(tt.name, func(t *testing.T) {
				by, revoked := set.lookup(&Session{ID: tt.sid, User: "ada", AuthTime: at(tt.begun)})
				want := pos(slices.Index(order, tt.want) + 1)
				if revoked != (tt.want != nil) || by.pos != want {
					t.Errorf("revoked %t by the event at %d, want %d", revoked, by.pos, want)
				}
			})
		}
	}
}

func TestEntriesLiveAsLongAsTheRuleSaysAndTwoTicks(t *testing.T) {
	const day = 24 * time.Hour
	at := epoch
	session := func(change func(*events.SessionRevoked)) events.Event {
		e := sessionOut(1, "s", at)
		change(e)
		return e
	}
	known := func(cutoff time.Time) events.Event {
		e := everywhere(1, cutoff)
		e.Time, e.KnownSessions = at, []string{"s"}
		return e
	}
	for _, tt := range []struct {
		name string
		e    events.Event
		// want is when the entry ends, and scopes whether cutoffs are meant.
		want   time.Time
		scopes bool
	}{
		{"nothing is known: the event's time and max age", session(func(*events.SessionRevoked) {}), at.Add(30 * day), false},
		{"an old auth time doesn't shorten", session(func(e *events.SessionRevoked) { e.AuthTime = at.Add(-10 * day) }), at.Add(30 * day), false},
		{"a late auth time doesn't lengthen", session(func(e *events.SessionRevoked) { e.AuthTime = at.Add(10 * day) }), at.Add(30 * day), false},
		{"the session's own end", session(func(e *events.SessionRevoked) { e.SessionExpiresAt = at.Add(day) }), at.Add(day), false},
		{"the own end beyond max age", session(func(e *events.SessionRevoked) { e.SessionExpiresAt = at.Add(50 * day) }), at.Add(50 * day), false},
		{"an own end just ahead", session(func(e *events.SessionRevoked) { e.SessionExpiresAt = at.Add(time.Millisecond) }), at.Add(time.Millisecond), false},
		{"an own end at the event's time isn't believed", session(func(e *events.SessionRevoked) { e.SessionExpiresAt = at }), at.Add(30 * day), false},
		{"an own end in the past isn't believed", session(func(e *events.SessionRevoked) { e.SessionExpiresAt = at.Add(-day) }), at.Add(30 * day), false},
		{"expires_at lengthens", session(func(e *events.SessionRevoked) { e.ExpiresAt = at.Add(40*day + DefaultLeeway) }), at.Add(40 * day), false},
		{"expires_at doesn't shorten", session(func(e *events.SessionRevoked) { e.ExpiresAt = at.Add(day) }), at.Add(30 * day), false},
		{"a cutoff and max age", everywhere(1, at), at.Add(30 * day), true},
		{"an old cutoff of a new event", known(at.Add(-20 * day)), at.Add(10 * day), true},
		{"known by name: the event's time, however old the cutoff", known(at.Add(-20 * day)), at.Add(30 * day), false},
		{"known by name: the cutoff where it is later", known(at.Add(2 * time.Second)), at.Add(30*day + 2*time.Second), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			entries := func(m *set) int {
				sessions, cutoffs := m.size()
				if tt.scopes {
					return cutoffs
				}
				return sessions
			}
			set, end := setOf(tt.e), tt.want.Add(DefaultLeeway)
			if set.expire(end); entries(set) != 1 {
				t.Errorf("forgotten before %v", end)
			}
			if set.expire(end.Add(2 * time.Duration(set.clock.ms) * time.Millisecond)); entries(set) != 0 {
				t.Errorf("kept two ticks after %v", end)
			}
		})
	}
}

// An earlier cutoff that must be kept longer than a later one keeps the key for as long: the later ends all that the earlier does.
func TestKeyIsKeptAsLongAsAnyOfItsCutoffs(t *testing.T) {
	long := everywhere(1, epoch)
	long.ExpiresAt = epoch.Add(90 * 24 * time.Hour)
	later := everywhere(2, epoch.Add(time.Second), "spared")
	for _, order := range [][]events.Event{{long, later}, {later, long}} {
		set := setOf(order...)
		set.expire(long.ExpiresAt)
		for _, sid := range []string{"s", "spared"} {
			if by, ok := set.lookup(&Session{ID: sid, User: "ada", AuthTime: epoch}); !ok {
				t.Errorf("%s: %+v, %t after the later one's end; want it over for as long as the longer one is kept", sid, by, ok)
			}
		}
		if gone := set.expire(long.ExpiresAt.Add(12 * time.Hour)); gone != 1 {
			t.Errorf("%d users are forgotten after the longer one's end, want ada", gone)
		}
	}
}

// The explicit revocation names the reason, even if an earlier event knew the session by name.
func TestExplicitRevocationNamesTheReason(t *testing.T) {
	user := everywhere(1, epoch)
	user.KnownSessions, user.Reason = []string{"s"}, events.ReasonCompromised
	explicit := sessionOut(2, "s", epoch.Add(time.Minute))
	for _, order := range [][]events.Event{{user, explicit}, {explicit, user}} {
		by, _ := setOf(order...).lookup(&Session{ID: "s", User: "ada", AuthTime: epoch})
		if by.scope != ScopeSession || by.reason != events.ReasonUserLogout {
			t.Errorf("ended by %+v, want the explicit revocation", by)
		}
	}
}

// Events that differ in nothing but the reason, or but whom they except, give one state in whatever order they come.
func TestNearlyTheSameTwiceGivesOneState(t *testing.T) {
	a, b := sessionOut(1, "s", epoch), sessionOut(1, "s", epoch)
	b.Reason = events.ReasonAdmin
	c, d, e := everywhere(1, epoch), everywhere(1, epoch, "x"), everywhere(1, epoch, "y")
	c.Reason = events.ReasonAdmin
	want := setOf(a, b, c, d, e).digest()
	for _, order := range [][]events.Event{{b, a, c, d, e}, {a, b, d, c, e}, {e, d, c, b, a}, {e, a, d, b, c}} {
		if setOf(order...).digest() != want {
			t.Error("another order gives another digest")
		}
	}
}

// Trap 28: ids of one kind and tenant say nothing about another kind or tenant, however they are joined.
func TestTrap28NoConcatenationCollides(t *testing.T) {
	c := func(tenant string) events.Common { c := common(1, epoch); c.Tenant = tenant; return c }
	begun := epoch.Add(-time.Hour)
	for _, tt := range []struct {
		name string
		e    events.Event
		s    Session
	}{
		{"a session's id is a user's", &events.SessionRevoked{Common: c("default"), Session: "x"}, Session{ID: "y", User: "x", Device: "x", Client: "x"}},
		{"a user's id is a session's", &events.UserLoggedOutEverywhere{Common: c("default"), User: "x", Cutoff: epoch}, Session{ID: "x", User: "y", Device: "x", Client: "x"}},
		{"a device's id is a client's", &events.DeviceLoggedOut{Common: c("default"), Device: "x", Cutoff: epoch}, Session{ID: "x", User: "x", Client: "x"}},
		{"a tenant's id is a user's", &events.TenantLoggedOut{Common: c("x"), Cutoff: epoch}, Session{ID: "x", User: "x", Device: "x", Client: "x"}},
		{"the tenant's end is the id's beginning", &events.SessionRevoked{Common: c("ab"), Session: "c"}, Session{Tenant: "a", ID: "bc", User: "u"}},
		{"with a separator", &events.SessionRevoked{Common: c("a"), Session: "b-c"}, Session{Tenant: "a-b", ID: "c", User: "u"}},
		{"with the kind", &events.UserLoggedOutEverywhere{Common: c("a"), User: "b", Cutoff: epoch}, Session{Tenant: "auserb", ID: "b", User: "user"}},
		{"another tenant", &events.UserLoggedOutEverywhere{Common: c("a"), User: "u", Cutoff: epoch}, Session{Tenant: "b", ID: "s", User: "u"}},
		{"no tenant is the default one", &events.UserLoggedOutEverywhere{Common: c("a"), User: "u", Cutoff: epoch}, Session{ID: "s", User: "u"}},
		{"no id is no wildcard", &events.SessionRevoked{Common: c("default"), Session: "s"}, Session{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.AuthTime = begun
			if by, over := setOf(tt.e).lookup(&tt.s); over {
				t.Errorf("%+v is ended by %+v", tt.s, by)
			}
		})
	}
}

// Two revocations of one session: the graver names the reason, and the entry lives as long as the one that is kept longer.
func TestRepeatedRevocationLivesLonger(t *testing.T) {
	short, long := sessionOut(1, "s", epoch), sessionOut(2, "s", epoch.Add(time.Second))
	short.Reason = events.ReasonCompromised
	short.SessionExpiresAt = epoch.Add(time.Hour)
	long.SessionExpiresAt = epoch.Add(2 * time.Hour)
	for _, order := range [][]events.Event{{short, long}, {long, short}} {
		set := setOf(order...)
		set.expire(epoch.Add(2 * time.Hour))
		if by, ok := set.lookup(&Session{ID: "s"}); !ok || by.reason != short.Reason {
			t.Errorf("ended by %+v, %t; want the theft, for as long as the second", by, ok)
		}
	}
}
