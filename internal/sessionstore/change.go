package sessionstore

import (
	"context"
	"errors"
	"time"
)

// Touch returns the session after a touch, and what became of it. changed is whether there is something to store.
func (s Session) Touch(at time.Time) (after Session, t Touched, changed bool) {
	t = Touched{Outcome: Taken, SeenAt: s.SeenAt}
	if s.Ended != nil {
		t.Outcome = Over
		return s, t, false
	}
	if !at.After(s.SeenAt) {
		return s, t, false
	}
	t.SeenAt, t.Renewed = at, s.Warned
	s.SeenAt, s.Warned = at, false
	return s, t, true
}

// Warn returns the session as warned; ok is false where Store.Warn says so.
func (s Session) Warn(seen time.Time) (after Session, ok bool) {
	if s.Ended != nil || s.Warned || !s.SeenAt.Equal(seen) {
		return s, false
	}
	s.Warned = true
	return s, true
}

// End returns the session with its end; ok is false where Store.End says so.
func (s Session) End(end End, seen time.Time) (after Session, ok bool) {
	if s.Ended != nil && (!s.Ended.Pending() || end.Pending()) || !seen.IsZero() && !s.SeenAt.Equal(seen) {
		return s, false
	}
	s.Ended, s.Warned = &end, false
	return s, true
}

// After returns a state of a session as it holds where the session had been touched at seen before the state was stored: whoever wrote it without knowing of that may not have warned or claimed
// the session. An end that isn't pending holds in any case. It returns the state as it is for a seen that isn't later than what the state knows.
func (s Session) After(seen time.Time) Session {
	if s.over() || !seen.After(s.SeenAt) {
		return s
	}
	s.SeenAt, s.Warned, s.Ended = seen, false, nil
	return s
}

// Change applies by to a session, as often as others were faster, and stores what it returns unless it says that nothing changed. It returns ErrUnknown for a session that isn't there. With
// one a store has Warn and End.
type Change func(ctx context.Context, key Key, by func(Session) (after Session, changed bool)) error

// Warn does what Store says.
func (c Change) Warn(ctx context.Context, key Key, seen time.Time) (ok bool, err error) {
	err = c(ctx, key, func(s Session) (after Session, changed bool) {
		after, ok = s.Warn(seen)
		return after, ok
	})
	if errors.Is(err, ErrUnknown) {
		return false, nil
	}
	return ok && err == nil, err
}

// End does what Store says.
func (c Change) End(ctx context.Context, key Key, end End, seen time.Time) (s Session, ended bool, err error) {
	err = c(ctx, key, func(before Session) (Session, bool) {
		s, ended = before.End(end, seen)
		return s, ended
	})
	if err != nil {
		return Session{}, false, err
	}
	return s, ended, nil
}
