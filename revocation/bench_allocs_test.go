package revocation

import (
	"fmt"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
)

// Check allocates nothing, whatever it looks for and whatever it finds, in a set that is large enough for entries to lie beside each other.
func TestCheckAllocatesNothingInAFullSet(t *testing.T) {
	r, sink := filled(t, 10_000)
	now := time.Now()
	old, recent := now.Add(-2*time.Hour), now.Add(-time.Minute)
	// A second "log out everywhere" that spares nobody the first one spared, so that its cutoff is one that a spared session still has.
	sink.Event(Place{20_000, now, now}, &events.UserLoggedOutEverywhere{
		Common: common(1, now), User: userID(100), Cutoff: now.Add(-30 * time.Minute), Except: []string{sessionID(7_100_000)},
	})
	whole := Session{ID: "s", User: "u", Device: "d", Client: "c", AuthTime: old}
	with := func(change func(*Session)) Session { s := whole; change(&s); return s }
	for _, tt := range []struct {
		name string
		s    Session
		want State
		by   Scope
	}{
		{"nothing ends it, begun before the cutoffs", whole, Active, ""},
		{"nothing ends it, begun after them", with(func(s *Session) { s.AuthTime = recent }), Active, ""},
		{"a session by its name", with(func(s *Session) { s.ID = sessionID(1) }), Revoked, ScopeSession},
		{"a user", with(func(s *Session) { s.User = userID(10) }), Revoked, ScopeUser},
		{"a device", with(func(s *Session) { s.Device = deviceID(1) }), Revoked, ScopeDevice},
		{"a client", with(func(s *Session) { s.Client = "client-1" }), Revoked, ScopeClient},
		{"a tenant", with(func(s *Session) { s.Tenant = "another" }), Revoked, ScopeTenant},
		{"an exception", with(func(s *Session) { s.ID, s.User = sessionID(10_000), userID(0) }), Active, ""},
		{"an exception that another cutoff ends", with(func(s *Session) { s.ID, s.User = sessionID(7_100_000), userID(100) }), Revoked, ScopeUser},
		{"a user with an exception that is another", with(func(s *Session) { s.User = userID(100) }), Revoked, ScopeUser},
		{"max age", with(func(s *Session) { s.AuthTime = time.Unix(1, 0) }), Revoked, ScopeMaxAge},
		{"a tenant that nothing is known of", with(func(s *Session) { s.Tenant = "nobody's" }), Active, ""},
		{"no id", with(func(s *Session) { s.ID = "" }), Undetermined, ""},
		{"no auth time", with(func(s *Session) { s.AuthTime = time.Time{} }), Undetermined, ""},
		{"an auth time in the future", with(func(s *Session) { s.AuthTime = now.Add(time.Hour) }), Undetermined, ""},
	} {
		for _, stale := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stale=%t", tt.name, stale), func(t *testing.T) {
				want := tt.want
				r.fresh.prove(now, now)
				if stale {
					r.fresh.forget()
					if want == Active {
						want = Undetermined
					}
				}
				if d := r.Check(tt.s); d.State != want || d.Scope != tt.by {
					t.Errorf("%v by %q (%v), want %v by %q: the case isn't what it says", d.State, d.Scope, d.Cause, want, tt.by)
				}
				if n := testing.AllocsPerRun(100, func() { r.Check(tt.s) }); n != 0 {
					t.Errorf("%v allocations, want 0", n)
				}
			})
		}
	}
}
