package sessions

import (
	"errors"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

// Timing says when sessions end, and when their tabs are told before.
type Timing struct {
	// MaxAge is the absolute age, from auth time, at which every session is over. Required.
	MaxAge time.Duration
	// IdleTimeout is for how long nobody may be there. Zero is for ever.
	IdleTimeout time.Duration
	// Since is when IdleTimeout began to hold: nobody was told to touch before. Zero is always.
	Since time.Time
	// Notice is how long before its end the tabs of a session are told. Zero tells them nothing.
	Notice time.Duration
}

// claimTime is how long a process that has claimed a session has for publishing its end, before another one does.
const claimTime = 15 * time.Second

func (t Timing) validate() error {
	var errs []error
	if t.MaxAge <= 0 {
		errs = append(errs, errors.New("sessions config: Timing.MaxAge is required"))
	}
	if t.IdleTimeout < 0 || t.Notice < 0 {
		errs = append(errs, errors.New("sessions config: Timing.IdleTimeout and Notice can't be negative"))
	}
	if t.IdleTimeout > 0 && t.Notice >= t.IdleTimeout {
		errs = append(errs, errors.New("sessions config: Timing.Notice must be shorter than IdleTimeout"))
	}
	return errors.Join(errs...)
}

// absolute returns when a session ends at the latest. Max age may have been longer when it was registered.
func (t Timing) absolute(s sessionstore.Session) time.Time {
	return earlier(s.ExpiresAt, s.AuthTime.Add(t.MaxAge))
}

// idleEnd returns when a session that was last touched at seen ends as idle; it takes an IdleTimeout.
func (t Timing) idleEnd(seen time.Time) time.Time {
	if seen.Before(t.Since) {
		seen = t.Since
	}
	return seen.Add(t.IdleTimeout)
}

// end returns when a session ends unless it is touched, and why.
func (t Timing) end(s sessionstore.Session) (at time.Time, reason events.Reason) {
	absolute := t.absolute(s)
	if idle := t.idleEnd(s.SeenAt); t.IdleTimeout > 0 && idle.Before(absolute) {
		return idle, events.ReasonIdleTimeout
	}
	return absolute, events.ReasonMaxAge
}

// idleExpires returns when a session that goes on ends unless it is touched, as the sweeper sees it; zero where sessions don't end for nobody's being there.
func (t Timing) idleExpires(s sessionstore.Session) time.Time {
	if t.IdleTimeout == 0 {
		return time.Time{}
	}
	at, _ := t.end(s)
	return at
}

// Due returns when somebody has to look at a session next; zero for never.
func (t Timing) Due(s sessionstore.Session) time.Time {
	switch {
	case s.Ended != nil && s.Ended.Pending():
		return s.Ended.At.Add(claimTime)
	case s.Ended != nil:
		return time.Time{}
	}
	at, _ := t.end(s)
	if s.Warned {
		return at
	}
	return at.Add(-t.Notice)
}
