package revocation

import (
	"errors"
	"time"

	"github.com/curfewhq/curfew/events"
)

// State is one of three answers. The zero value is Undetermined, so that forgetting to set it lets nobody pass.
type State uint8

// The states.
const (
	// Undetermined: the replica isn't synced, or is stale, or a claim that it needs is missing. Fail closed unless the route's
	// policy says otherwise.
	Undetermined State = iota
	// Active: the replica is fresh, and nothing ends the session.
	Active
	// Revoked: a revocation ends the session, or it is past max age. True even when stale.
	Revoked
)

func (s State) String() string {
	switch s {
	case Active:
		return "active"
	case Revoked:
		return "revoked"
	}
	return "undetermined"
}

// Scope says which part of a session a revocation took hold of: a kind of event, or max age.
type Scope string

// The scopes, in the order in which Check asks.
const (
	ScopeSession = Scope(events.KindSession)
	ScopeUser    = Scope(events.KindUser)
	ScopeDevice  = Scope(events.KindDevice)
	ScopeClient  = Scope(events.KindClient)
	ScopeTenant  = Scope(events.KindTenant)
	ScopeMaxAge  = Scope("max_age")
)

// Decision is the answer to one Check. It holds no reference to the replica.
type Decision struct {
	State State
	// Scope, Reason and EventPosition tell what ends a revoked session. They are empty in the other states. Of several
	// revocations of the session by name the one with the gravest reason is told, and of several cutoffs of one scope the latest; of equal ones again the
	// gravest. The replica holds no more of them, and the stream holds them whole.
	Scope  Scope
	Reason events.Reason
	// EventPosition is where that event lies in the stream; 0 for max age, and for what was known before the stream was made anew.
	EventPosition uint64
	// Cause says why the state is Undetermined: one of ErrNotSynced, ErrStale, ErrBehind, ErrMissingSession, ErrMissingUser,
	// ErrMissingAuthTime, ErrAuthTimeInFuture, ErrClosed. It is nil in the other states.
	Cause error
	// Position is up to where the replica had applied the stream when it answered, at least.
	Position uint64
	// Staleness is the age of the replica's proof when it answered. It is negative when there is none yet.
	Staleness time.Duration
}

// MayMend reports whether the same check may be answered in a while without anybody's doing, for the replica can't tell only because it isn't synced, is
// stale or is behind. It is false for Active and Revoked, for a session that lacks a claim, for a replica that was closed, and for a cause that isn't known,
// as in the zero Decision. So it says what may be asked elsewhere meanwhile, and what a route may fail open for.
func (d Decision) MayMend() bool {
	return d.State == Undetermined && (errors.Is(d.Cause, ErrNotSynced) || errors.Is(d.Cause, ErrStale) || errors.Is(d.Cause, ErrBehind))
}

// Require is what one route asks of an answer. The zero value asks for the replica's own budget and for every claim.
type Require struct {
	// MaxStaleness is the route's staleness budget where it is shorter than the replica's, say 3 s for payments. Zero or
	// anything longer means the replica's. A negative one, such as the rest of a deadline that has passed, is never met.
	MaxStaleness time.Duration
	// Position makes the answer Undetermined (ErrBehind) unless the replica has applied the stream up to here. A caller that wants
	// to wait for it calls [Replica.WaitFor] first.
	Position uint64
	// DangerouslyAllowMissingSession passes sessions without an id: no revocation by session reaches them.
	DangerouslyAllowMissingSession bool
	// DangerouslyAllowMissingUser passes sessions without a user: no "log out everywhere" reaches them.
	DangerouslyAllowMissingUser bool
	// DangerouslyAllowMissingAuthTime passes sessions without an auth time as long as no cutoff exists for any part of them; max
	// age isn't enforced for them. Then nothing refuses such a session once its revocation is forgotten: one that was revoked by name passes again max age
	// and leeway later, and so does one that a cutoff was for. Where tokens without an auth time live longer than that, don't.
	DangerouslyAllowMissingAuthTime bool
}
