package revocation

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
)

// all returns one event of each kind that ends s, in the order of Check.
func all(s Session, at time.Time) []events.Event {
	return []events.Event{
		&events.SessionRevoked{Common: common(1, at), Session: s.ID},
		&events.UserLoggedOutEverywhere{Common: common(2, at), User: s.User, Cutoff: at},
		&events.DeviceLoggedOut{Common: common(3, at), Device: s.Device, Cutoff: at},
		&events.ClientLoggedOut{Common: common(4, at), Client: s.Client, Cutoff: at},
		&events.TenantLoggedOut{Common: common(5, at), Cutoff: at},
	}
}

func TestCheckAsksInOrder(t *testing.T) {
	s := Session{ID: "s", User: "u", Device: "d", Client: "c", AuthTime: time.Now().Add(-DefaultMaxAge - time.Hour)}
	list := all(s, time.Now().Add(-time.Minute).Truncate(time.Millisecond))
	for i := range len(list) + 1 {
		r, sink := bare(Config{})
		// The last comes first, so that the order isn't that of arrival.
		for j := len(list) - 1; j >= i; j-- {
			sink.Event(Place{Position: uint64(10 + j)}, list[j])
		}
		d := r.Check(s)
		if i == len(list) {
			if d.State != Revoked || d.Scope != ScopeMaxAge || d.Reason != events.ReasonMaxAge || d.EventPosition != 0 {
				t.Errorf("past max age: %+v", d)
			}
			continue
		}
		m := list[i].Meta()
		if d.State != Revoked || d.Scope != Scope(list[i].Kind()) || d.Reason != m.Reason || d.EventPosition != uint64(10+i) || d.Cause != nil {
			t.Errorf("with %s and what comes after: %+v", list[i].Kind(), d)
		}
	}
}

// Traps 29 and 40: what is missing doesn't pass, unless the route says so, and then only it.
func TestMissingClaims(t *testing.T) {
	full := Session{ID: "s", User: "u", AuthTime: time.Now().Add(-time.Hour)}
	without := func(change func(*Session)) Session { s := full; change(&s); return s }
	noID := without(func(s *Session) { s.ID = "" })
	noUser := without(func(s *Session) { s.User = "" })
	noTime := without(func(s *Session) { s.AuthTime = time.Time{} })
	nothing := Session{}
	all := Require{DangerouslyAllowMissingSession: true, DangerouslyAllowMissingUser: true, DangerouslyAllowMissingAuthTime: true}
	cut := &events.ClientLoggedOut{Common: common(1, epoch), Client: "c", Cutoff: epoch}
	for _, tt := range []struct {
		name  string
		s     Session
		q     Require
		e     events.Event
		want  State
		cause error
	}{
		{"everything there", full, Require{}, nil, Active, nil},
		{"no id", noID, Require{}, nil, Undetermined, ErrMissingSession},
		{"no id, allowed", noID, Require{DangerouslyAllowMissingSession: true}, nil, Active, nil},
		{"no id, another allowed", noID, Require{DangerouslyAllowMissingUser: true, DangerouslyAllowMissingAuthTime: true}, nil, Undetermined, ErrMissingSession},
		{"no user", noUser, Require{}, nil, Undetermined, ErrMissingUser},
		{"no user, allowed", noUser, Require{DangerouslyAllowMissingUser: true}, nil, Active, nil},
		{"no auth time", noTime, Require{}, nil, Undetermined, ErrMissingAuthTime},
		{"no auth time, allowed", noTime, Require{DangerouslyAllowMissingAuthTime: true}, nil, Active, nil},
		{"no auth time, allowed, a cutoff of the user", noTime, all, &events.UserLoggedOutEverywhere{Common: common(1, epoch), User: "u", Cutoff: epoch}, Undetermined, ErrMissingAuthTime},
		{"no auth time, allowed, a cutoff of the tenant", noTime, all, tenantOut(events.DefaultTenant, epoch), Undetermined, ErrMissingAuthTime},
		{"no auth time, allowed, a cutoff of another client", noTime, all, cut, Active, nil},
		{"no auth time, revoked by name", noTime, Require{}, sessionOut(1, "s", epoch), Revoked, nil},
		{"no id, revoked by user", noID, all, &events.UserLoggedOutEverywhere{Common: common(1, epoch), User: "u", Cutoff: time.Now(), Except: []string{"t"}}, Revoked, nil},
		{"nothing at all", nothing, Require{}, nil, Undetermined, ErrMissingSession},
		{"nothing at all, all allowed", nothing, all, nil, Active, nil},
		{"1970 isn't missing", without(func(s *Session) { s.AuthTime = time.Unix(0, 0) }), Require{}, nil, Revoked, nil},
		{"auth time in the future within leeway", without(func(s *Session) { s.AuthTime = time.Now().Add(DefaultLeeway - time.Minute) }), Require{}, nil, Active, nil},
		{"auth time in the future", without(func(s *Session) { s.AuthTime = time.Now().Add(DefaultLeeway + time.Minute) }), all, nil, Undetermined, ErrAuthTimeInFuture},
		{"milliseconds read as seconds", without(func(s *Session) { s.AuthTime = time.Unix(time.Now().UnixMilli(), 0) }), all, nil, Undetermined, ErrAuthTimeInFuture},
		{"in the future, revoked by name", without(func(s *Session) { s.AuthTime = time.Now().Add(24 * time.Hour) }), Require{}, sessionOut(1, "s", epoch), Revoked, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, sink := bare(Config{})
			if tt.e != nil {
				sink.Event(Place{Position: 1}, tt.e)
			}
			d := r.CheckWith(tt.s, tt.q)
			if d.State != tt.want || d.Cause != tt.cause { //nolint:errorlint // Cause is one of the package's errors, unwrapped
				t.Errorf("%v because of %v, want %v because of %v", d.State, d.Cause, tt.want, tt.cause)
			}
		})
	}
}

func TestCauses(t *testing.T) {
	s := Session{ID: "s", User: "u", AuthTime: time.Now().Add(-time.Hour)}
	check := func(t *testing.T, r *Replica, q Require, want error) {
		t.Helper()
		if d := r.CheckWith(s, q); d.Cause != want || (want == nil) != (d.State == Active) { //nolint:errorlint // unwrapped
			t.Errorf("%v because of %v, want %v", d.State, d.Cause, want)
		}
	}
	t.Run("nothing was ever heard", func(t *testing.T) { check(t, newReplica(Config{}.withDefaults()), Require{}, ErrNotSynced) })
	t.Run("behind the head", func(t *testing.T) {
		r := newReplica(Config{}.withDefaults())
		sink := &sink{r: r, ctx: t.Context()}
		_, _ = sink.Begin(Head{Stream: "s", First: 1, Last: 3})
		sink.Beat(Place{2, time.Now(), time.Now()})
		check(t, r, Require{}, ErrNotSynced)
		sink.Reach(3)
		check(t, r, Require{}, nil)
	})
	t.Run("no proof", func(t *testing.T) {
		r := newReplica(Config{}.withDefaults())
		_, _ = (&sink{r: r, ctx: t.Context()}).Begin(Head{Stream: "s"})
		check(t, r, Require{}, ErrStale)
		if d := r.Check(s); d.Staleness >= 0 {
			t.Errorf("staleness %v before the first beat, want negative", d.Staleness)
		}
	})
	t.Run("an old proof", func(t *testing.T) {
		r := newReplica(Config{}.withDefaults())
		sink := &sink{r: r, ctx: t.Context()}
		_, _ = sink.Begin(Head{Stream: "s"})
		sink.Beat(Place{1, time.Now(), time.Now().Add(-DefaultStalenessBudget - time.Second)})
		check(t, r, Require{}, ErrStale)
	})
	t.Run("behind the required position", func(t *testing.T) {
		r, sink := bare(Config{})
		sink.Reach(7)
		check(t, r, Require{Position: 7}, nil)
		check(t, r, Require{Position: 8}, ErrBehind)
	})
	t.Run("closed", func(t *testing.T) {
		r, _ := bare(Config{})
		r.closed.Store(true)
		check(t, r, Require{}, ErrClosed)
	})
	t.Run("the zero state lets nobody pass", func(t *testing.T) {
		if (Decision{}).State != Undetermined {
			t.Error("the zero Decision isn't undetermined")
		}
	})
}

// Trap 34: max age is from auth time, absolute, and reached at its last instant.
func TestTrap34MaxAgeIsAbsolute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the time stands still
		r, _ := bare(Config{MaxAge: time.Hour})
		now := time.Now()
		for _, tt := range []struct {
			name string
			auth time.Time
			want State
		}{
			{"just within", now.Add(-time.Hour + 1), Active},
			{"reached", now.Add(-time.Hour), Revoked},
			{"long past", now.Add(-1000 * time.Hour), Revoked},
		} {
			if d := r.Check(Session{ID: "s", User: "u", AuthTime: tt.auth}); d.State != tt.want {
				t.Errorf("%s: %v (%v), want %v", tt.name, d.State, d.Cause, tt.want)
			}
		}
		if d := r.Check(Session{AuthTime: now.Add(-2 * time.Hour)}); d.Scope != ScopeMaxAge {
			t.Errorf("nothing but an auth time past max age: %+v, want revoked by max age", d)
		}
	})
}

func TestCheckAllocatesNothing(t *testing.T) {
	r, sink := bare(Config{})
	sink.Event(Place{Position: 1}, everywhere(1, epoch, "kept", "kept too"))
	sink.Event(Place{Position: 2}, sessionOut(2, "gone", epoch))
	for name, s := range map[string]Session{
		"active":         {ID: "s", User: "bob", Device: "d", Client: "c", AuthTime: time.Now()},
		"active, spared": {ID: "kept", User: "ada", AuthTime: epoch},
		"revoked":        {ID: "gone", User: "bob", AuthTime: time.Now()},
		"revoked, user":  {ID: "s", User: "ada", AuthTime: epoch},
		"max age":        {ID: "s", User: "bob", AuthTime: time.Unix(1, 0)},
		"undetermined":   {ID: "s"},
	} {
		if n := testing.AllocsPerRun(100, func() { r.CheckWith(s, Require{Position: 1, MaxStaleness: time.Second}) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}
