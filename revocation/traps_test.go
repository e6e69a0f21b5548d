package revocation_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// Each test here is an attack by a mistake that a real system made; the numbers are those of docs/traps.md.

// rig is a replica in a bubble, fresh, with its feed.
type rig struct {
	t       *testing.T
	feed    *revocationtest.Feed
	replica *revocation.Replica
}

func inBubble(t *testing.T, cfg revocation.Config, test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		feed.AutoBeat(time.Second)
		test(&rig{t, feed, open(t, feed, cfg)})
	})
}

func (r *rig) publish(e events.Event) {
	r.t.Helper()
	r.feed.Publish(e)
	synctest.Wait()
}

func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) want(what string, s revocation.Session, state revocation.State) {
	r.t.Helper()
	if d := r.replica.Check(s); d.State != state {
		r.t.Errorf("%s is %v (%v %v), want %v", what, d.State, d.Scope, d.Cause, state)
	}
}

func ada(sid string, begun time.Time) revocation.Session {
	return revocation.Session{ID: sid, User: "ada", Device: "phone", Client: "app", AuthTime: begun}
}

// A login in the same second as the cutoff: refused where the issuer gives seconds, told apart where it gives milliseconds.
func TestTrap1SameSecond(t *testing.T) {
	inBubble(t, revocation.Config{}, func(r *rig) {
		second := time.Now().Truncate(time.Second)
		r.pass(2 * time.Second)
		cutoff := second.Add(500 * time.Millisecond)
		r.publish(everywhere("ada", cutoff))
		for name, tt := range map[string]struct {
			begun time.Time
			want  revocation.State
		}{
			"in whole seconds, same second": {second, revocation.Revoked},
			"in whole seconds, next second": {second.Add(time.Second), revocation.Active},
			"a millisecond before":          {cutoff.Add(-time.Millisecond), revocation.Revoked},
			"same millisecond":              {cutoff, revocation.Revoked},
			"later in the same millisecond": {cutoff.Add(time.Millisecond - 1), revocation.Revoked},
			"a millisecond after":           {cutoff.Add(time.Millisecond), revocation.Active},
		} {
			r.want(name, ada("s", tt.begun), tt.want)
		}
	})
}

// A token that was signed anew after the cutoff is still of the old login. There is no iat in Session to compare by mistake.
func TestTrap2ResignedTokenIsStillTheOldLogin(t *testing.T) {
	inBubble(t, revocation.Config{}, func(r *rig) {
		begun := time.Now()
		r.pass(time.Hour)
		r.publish(everywhere("ada", time.Now()))
		r.pass(time.Hour)
		r.want("the session, its token signed just now", ada("s", begun), revocation.Revoked)
	})
}

// An older cutoff that comes later, or for another scope, doesn't bring back what a newer one ended.
func TestTrap3MaxOfCutoffs(t *testing.T) {
	inBubble(t, revocation.Config{}, func(r *rig) {
		r.pass(time.Hour)
		begun := time.Now().Add(-10 * time.Minute)
		r.publish(everywhere("ada", time.Now()))
		for _, old := range []events.Event{
			everywhere("ada", begun.Add(-time.Minute)),
			&events.TenantLoggedOut{Common: common(1, time.Now()), Cutoff: begun.Add(-time.Minute)},
			&events.ClientLoggedOut{Common: common(2, time.Now()), Client: "app", Cutoff: begun.Add(-time.Minute)},
			&events.DeviceLoggedOut{Common: common(3, time.Now()), Device: "phone", Cutoff: begun.Add(-time.Minute)},
		} {
			r.publish(old)
			r.want("after an older cutoff of "+string(old.Kind()), ada("s", begun), revocation.Revoked)
		}
	})
}

// Traps 4 and 20: logging out everywhere is a cutoff and no block. Who logs in again at once passes, time after time.
func TestTraps4And20LoginAgainAtOnce(t *testing.T) {
	inBubble(t, revocation.Config{}, func(r *rig) {
		for range 50 {
			begun := time.Now()
			r.want("a new login", ada("s", begun), revocation.Active)
			r.publish(everywhere("ada", time.Now()))
			r.want("the login before", ada("s", begun), revocation.Revoked)
			r.pass(time.Millisecond)
		}
		r.publish(&events.DeviceLoggedOut{Common: common(1, time.Now()), Device: "phone", Cutoff: time.Now()})
		r.publish(&events.TenantLoggedOut{Common: common(2, time.Now()), Cutoff: time.Now()})
		r.pass(time.Millisecond)
		r.want("a login after device and tenant", ada("s", time.Now()), revocation.Active)
	})
}

// A rolling session outlives every date that its tokens give; the entry outlives the session, and max age takes over without a gap.
func TestTrap12EntryOutlivesTheSession(t *testing.T) {
	inBubble(t, revocation.Config{MaxAge: time.Hour, Leeway: time.Minute, SweepInterval: 10 * time.Second}, func(r *rig) {
		s := ada("s", time.Now())
		byName := revocation.Session{ID: "t", User: "bob", AuthTime: time.Now()}
		r.publish(everywhere("ada", time.Now()))
		r.publish(&events.SessionRevoked{Common: common(1, time.Now()), Session: "t"})
		for range 70 {
			r.pass(time.Minute)
			r.want("the session", s, revocation.Revoked)
			r.want("the session by name", byName, revocation.Revoked)
		}
		if got := r.replica.Status(); got.Cutoffs != 0 || got.Sessions != 0 {
			t.Errorf("%d cutoffs and %d sessions are kept beyond any session's life", got.Cutoffs, got.Sessions)
		}
	})
}

// What the caller tells of the session is wrong: a cookie's moving end that has passed, an auth time that isn't the token's. The session is
// refused all the same, for as long as its token isn't past max age.
func TestTrap12WrongDatesDoNotShorten(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name string
		// wrong falsifies an event of now.
		wrong func(e *events.SessionRevoked, now time.Time)
	}{
		{"an end that has passed", func(e *events.SessionRevoked, now time.Time) { e.SessionExpiresAt = now.Add(-time.Minute) }},
		{"an end that is now", func(e *events.SessionRevoked, now time.Time) { e.SessionExpiresAt = now }},
		{"an auth time of 29 days ago", func(e *events.SessionRevoked, now time.Time) { e.AuthTime = now.Add(-29 * day) }},
		{"an auth time beyond max age", func(e *events.SessionRevoked, now time.Time) { e.AuthTime = now.Add(-31 * day) }},
		{"both", func(e *events.SessionRevoked, now time.Time) {
			e.AuthTime, e.SessionExpiresAt = now.Add(-31*day), now.Add(-day)
		}},
		{"an expiry that has passed", func(e *events.SessionRevoked, now time.Time) { e.ExpiresAt = now.Add(-day) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, revocation.Config{}, func(r *rig) {
				r.feed.AutoBeat(6 * time.Hour) // what is forgotten is forgotten by the stream's clock
				begun := time.Now()
				e := &events.SessionRevoked{Common: common(1, begun), Session: "s", User: "ada"}
				tt.wrong(e, begun)
				r.publish(e)
				for time.Since(begun) < 31*day {
					d := r.replica.Check(ada("s", begun))
					byName := time.Since(begun) < revocation.DefaultMaxAge
					if d.State != revocation.Revoked || byName && d.Scope != revocation.ScopeSession {
						t.Fatalf("after %v: %v by %q (%v), want revoked", time.Since(begun), d.State, d.Scope, d.Cause)
					}
					r.pass(6 * time.Hour)
				}
				if got := r.replica.Status().Sessions; got != 0 {
					t.Errorf("%d sessions are kept beyond max age", got)
				}
			})
		})
	}
}

// The logout of a session that nobody here has ever seen is recorded.
func TestTrap14UnknownSession(t *testing.T) {
	inBubble(t, revocation.Config{}, func(r *rig) {
		r.publish(&events.SessionRevoked{Common: common(1, time.Now()), Session: "unseen"})
		r.want("a session first seen after its logout", ada("unseen", time.Now()), revocation.Revoked)
	})
}

// The issuer's clock runs ahead: the auth time lies after the cutoff. The session ends by name, and nobody else's does.
func TestTrap19IssuersClockRunsAhead(t *testing.T) {
	inBubble(t, revocation.Config{}, func(r *rig) {
		ahead := time.Now().Add(2 * time.Minute)
		e := everywhere("ada", time.Now())
		e.KnownSessions = []string{"s"}
		r.publish(e)
		r.want("the known session", ada("s", ahead), revocation.Revoked)
		r.want("an unknown session of the same time", ada("t", ahead), revocation.Active)
		r.want("an older session", ada("t", time.Now()), revocation.Revoked)
	})
}

// "Others" keeps the caller, and only the caller; and a session without an id isn't taken for the caller.
func TestTrap21OthersKeepsTheCaller(t *testing.T) {
	inBubble(t, revocation.Config{}, func(r *rig) {
		begun := time.Now()
		r.publish(everywhere("ada", time.Now(), "mine"))
		r.want("the caller's", ada("mine", begun), revocation.Active)
		r.want("another", ada("other", begun), revocation.Revoked)
		d := r.replica.CheckWith(ada("", begun), revocation.Require{DangerouslyAllowMissingSession: true})
		if d.State != revocation.Revoked {
			t.Errorf("a session without an id is %v, want revoked", d.State)
		}
		// A later "everywhere" ends the caller's too.
		r.publish(everywhere("ada", time.Now()))
		r.want("the caller's after everywhere", ada("mine", begun), revocation.Revoked)
	})
}

// A user id that is deleted and given out again: the cutoff stays, for whoever had it before, and nothing takes it back.
func TestTrap30DeletedUserStaysOver(t *testing.T) {
	inBubble(t, revocation.Config{}, func(r *rig) {
		begun := time.Now()
		deleted := everywhere("ada", time.Now())
		deleted.Reason = events.ReasonAccountDeleted
		r.publish(deleted)
		r.feed.AutoBeat(0) // ten days of beats would tell nothing more
		r.pass(10 * 24 * time.Hour)
		r.feed.AutoBeat(time.Second)
		r.pass(0)
		r.want("the session from before", ada("s", begun), revocation.Revoked)
		r.want("the next holder of the id", ada("t", time.Now()), revocation.Active)
		other := ada("s", begun)
		other.Tenant = "another"
		r.want("the same id elsewhere", other, revocation.Active)
	})
}

// Unreachable is undetermined: never active, and never revoked.
func TestTrap40StatesDontFlip(t *testing.T) {
	inBubble(t, revocation.Config{}, func(r *rig) {
		r.publish(&events.SessionRevoked{Common: common(1, time.Now()), Session: "gone"})
		r.feed.Cut()
		r.pass(time.Hour)
		r.want("a session that was active", ada("s", time.Now()), revocation.Undetermined)
		r.want("a session that was revoked", ada("gone", time.Now()), revocation.Revoked)
		for state, want := range map[revocation.State]string{
			revocation.Active: "active", revocation.Revoked: "revoked", revocation.Undetermined: "undetermined", 99: "undetermined",
		} {
			if got := state.String(); got != want {
				t.Errorf("State(%d) reads %q, want %q", state, got, want)
			}
		}
	})
}
