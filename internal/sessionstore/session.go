package sessionstore

import (
	"time"

	"github.com/curfewhq/curfew/events"
)

// KeepEnded is how long a session is listed after it has ended.
const KeepEnded = 28 * 24 * time.Hour

// Session is one login of a user, as people see it. Optional members may be empty.
type Session struct {
	Tenant, ID, User string
	Device, Client   string
	// AuthTime is when the user proved who they are, and CreatedAt when the session was registered, by the registry's clock.
	AuthTime, CreatedAt time.Time
	// SeenAt is when somebody was last known to be there.
	SeenAt time.Time
	// ExpiresAt is the session's absolute end.
	ExpiresAt time.Time
	// Agent is what the session was begun with.
	Agent Agent
	// Network is the coarse address that it was begun from, such as 203.0.113.0/24.
	Network string
	// Warned is whether its tabs were told that it is about to end; a touch takes it back.
	Warned bool
	// Ended tells why it has ended; nil while it has not.
	Ended *End
}

// Agent is a browser or another program. Its members may be empty.
type Agent struct {
	Browser string `json:"b,omitempty"`
	OS      string `json:"o,omitempty"`
	// Form is desktop, mobile, tablet or bot.
	Form string `json:"f,omitempty"`
}

// End tells why a session has ended.
type End struct {
	At     time.Time
	Reason events.Reason
	// Event is the id of the event that ends it; empty where that isn't known.
	Event string
	// Position is where that event lies in the ledger; 0 while it isn't stored there yet, and where there is none.
	Position uint64
}

// Pending reports whether the event is known and isn't stored yet.
func (e End) Pending() bool { return e.Event != "" && e.Position == 0 }

// Key is the key of a session.
type Key struct{ Tenant, ID string }

// Key returns the session's key.
func (s Session) Key() Key { return Key{s.Tenant, s.ID} }

// over reports whether the session has ended, and not only been claimed.
func (s Session) over() bool { return s.Ended != nil && !s.Ended.Pending() }

// GoesOn reports whether the session has neither ended nor come to its absolute end.
func (s Session) GoesOn(now time.Time) bool { return s.Ended == nil && s.ExpiresAt.After(now) }

// KeptUntil is until when the store keeps the session.
func (s Session) KeptUntil() time.Time {
	end := s.ExpiresAt
	if s.Ended != nil {
		end = s.Ended.At
	}
	return end.Add(KeepEnded)
}

// Touch says that somebody was there.
type Touch struct {
	ID string
	At time.Time
}

// Touched is what became of a touch.
type Touched struct {
	Outcome Outcome
	// SeenAt is the session's last touch after it; zero for a session that isn't known.
	SeenAt time.Time
	// Renewed is whether it took back a warning.
	Renewed bool
}

// Outcome is what became of a touch.
type Outcome uint8

// The outcomes.
const (
	// Unknown: there is no such session.
	Unknown Outcome = iota
	// Taken: the session is alive, as far as the store knows, and was so after the touch.
	Taken
	// Over: it has ended, and the touch changed nothing.
	Over
)
