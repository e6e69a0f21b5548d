package sessionstore

import (
	"context"
	"errors"
	"time"
)

// ErrUnknown is returned when there is no such session.
var ErrUnknown = errors.New("no such session")

// ErrUnavailable is returned when the store can't be reached, or doesn't know everything yet. What was to be written may have been written all the same.
var ErrUnavailable = errors.New("the session store can't be reached")

// MaxTouches is how many touches one call takes, and MaxListed how many sessions it returns.
const (
	MaxTouches = 1000
	MaxListed  = 1000
)

// Store keeps sessions. See the package's promises. Each method returns an error that wraps ErrUnavailable when the store can't be reached.
type Store interface {
	// Create stores a session unless there is one with its id; it returns the one that is stored then. It is due at due.
	Create(ctx context.Context, s Session, due time.Time) (stored Session, created bool, err error)
	// Session returns a session, or ErrUnknown.
	Session(ctx context.Context, key Key) (Session, error)
	// Sessions returns sessions of a user, those that go on before those that have ended, of either the newest first by when they were created: at most limit, which is at
	// most MaxListed. more is whether there are others.
	Sessions(ctx context.Context, tenant, user string, limit int) (list []Session, more bool, err error)
	// Walk calls each with sessions of a tenant that go on, in no order, and once or, while others come and go, more than once. It looks at most at most of them, of all tenants, and
	// until ctx ends; more is whether there are others. each must be short, and leave the store alone: others may wait for it.
	Walk(ctx context.Context, tenant string, most int, each func(Session)) (more bool, err error)
	// Touch takes at most MaxTouches touches of one tenant, and returns an outcome for each. The same session may come more than once.
	Touch(ctx context.Context, tenant string, touches []Touch) ([]Touched, error)
	// Warn marks a session that was last touched at seen as warned. It returns false, and changes nothing, if it was touched after that, was warned already, has
	// ended or isn't known.
	Warn(ctx context.Context, key Key, seen time.Time) (bool, error)
	// End marks a session as ended, and returns it as it is afterwards; ErrUnknown if there is none. A seen that isn't zero ends only a session that was last touched
	// then. An end stays, but for one that is pending, which one that isn't takes the place of. A session whose end isn't pending isn't due any more.
	End(ctx context.Context, key Key, end End, seen time.Time) (s Session, ended bool, err error)
	// Due returns sessions that are due at a time, at most limit, those that have been so for longest first. They stay due.
	Due(ctx context.Context, at time.Time, limit int) ([]Key, error)
	// Postpone says when a session is due next. A zero time is never.
	Postpone(ctx context.Context, key Key, next time.Time) error
	// Hasten makes sure that every session that isn't ended is due at next at the latest, as after an idle timeout was set that there wasn't before.
	Hasten(ctx context.Context, next time.Time) error
	// Ping returns an error if the store can't be reached.
	Ping(ctx context.Context) error
	// Close ends what the store has started. Connections that it was given stay the caller's.
	Close() error
}
