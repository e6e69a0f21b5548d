package revocation

import (
	"errors"
	"time"

	"github.com/curfewhq/curfew/events"
)

// Causes of Undetermined.
var (
	// ErrNotSynced: the replica hasn't yet applied everything up to the head that it saw when it began to follow the stream. Open
	// returns it too.
	ErrNotSynced = errors.New("replica isn't synced yet")
	// ErrStale: the replica's proof of having applied everything is older than the budget, or no beat has brought one yet.
	ErrStale = errors.New("replica is stale")
	// ErrBehind: the replica hasn't applied the stream up to the required position.
	ErrBehind = errors.New("replica is behind the required position")
	// ErrMissingSession: the session has no id.
	ErrMissingSession = errors.New("session id is missing")
	// ErrMissingUser: the session has no user.
	ErrMissingUser = errors.New("user is missing")
	// ErrMissingAuthTime: the session has no auth time.
	ErrMissingAuthTime = errors.New("auth time is missing")
	// ErrAuthTimeInFuture: the auth time lies further ahead than any clock error explains (say, milliseconds read as seconds), so
	// no cutoff could end the session.
	ErrAuthTimeInFuture = errors.New("auth time lies in the future")
)

// Errors of who finds out which session a request or call is of, before a replica is asked: the guards of revocationhttp and revocationgrpc take them from a
// Session function, so that one verifier serves both. They stand here for that reason alone: a replica verifies no token.
var (
	// ErrNoSession is returned when there is no token.
	ErrNoSession = errors.New("no session is carried")
	// ErrInvalidToken is returned when there is a token and it is bad: expired, forged, malformed, for somebody else. What wraps it says why, for
	// operators: the answer is the same in all cases.
	ErrInvalidToken = errors.New("invalid token")
)

// Errors of Open, WaitFor and Close.
var (
	// ErrNoBeat is returned by Open when its ctx has ended while the replica was synced and waited for a beat, which alone proves that
	// nothing is missing.
	ErrNoBeat = errors.New("no beat has come within the staleness budget: check that a curfew serve with the role publisher, " +
		"which writes the beats, runs against this NATS")
	// ErrClosed is returned when the replica has been closed.
	ErrClosed = errors.New("replica is closed")
	// ErrTooManyWaiters is returned by WaitFor when MaxWaiters others wait for positions that are no farther off. It says nothing about the position:
	// take it like the end of your own patience, and check.
	ErrTooManyWaiters = errors.New("too many wait for positions")
	// ErrRetention is returned by Open when the stream forgets revocations before sessions reach max age: by their age, or for lack of room. A replica
	// that is open is told by its hooks, and isn't synced any more if it has missed something that is gone. A stream that drops for lack of room it
	// doesn't follow any more. What the stream has forgotten doesn't come back when its settings are put right.
	ErrRetention = errors.New("the stream forgets revocations before sessions reach max age")
)

// MaxCutoffAhead is how far a cutoff may lie after the time when its event was stored ([Place].Stored): more than clocks of publishers are off. An event whose
// cutoff lies further ahead is never applied, whatever feed it comes from, for it would refuse whoever signs in until then, and no later event takes
// a cutoff back.
const MaxCutoffAhead = 5 * time.Minute

// CutoffInFuture reports whether an event's cutoff lies more than MaxCutoffAhead after it was stored: then a replica that reads the event skips it, and it ends nothing. Events without a cutoff are
// never meant. e must not be nil.
func CutoffInFuture(e events.Event, stored time.Time) bool {
	cutoff, ok := events.Cutoff(e)
	return ok && cutoff.After(stored.Add(MaxCutoffAhead))
}

// ErrCutoffInFuture is what Hooks.Skipped is told of an event whose cutoff lies more than MaxCutoffAhead ahead.
var ErrCutoffInFuture = errors.New("cutoff lies in the future")

// Errors of snapshots. Hooks.SnapshotRefused is told the first three; the next source is used, or the stream is read whole.
var (
	// ErrSnapshotCorrupt: it isn't a snapshot, or not a whole one, or a checksum is wrong.
	ErrSnapshotCorrupt = errors.New("snapshot is corrupt")
	// ErrSnapshotForeign: it is of another stream, another incarnation of it, another key, another version or another configuration.
	ErrSnapshotForeign = errors.New("snapshot is another stream's or configuration's")
	// ErrSnapshotTooOld: the stream has already forgotten what came next after it.
	ErrSnapshotTooOld = errors.New("snapshot is too old")
	// ErrNothingApplied is returned by Save as long as no event was applied: there is nothing to save.
	ErrNothingApplied = errors.New("no event was applied yet")
)
