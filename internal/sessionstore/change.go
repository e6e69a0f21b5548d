package sessionstore

import "time"

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
	if s.Warned {
		t.User = s.User
	}
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
