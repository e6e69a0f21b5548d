package revocation

import (
	"cmp"
	"context"
	"time"

	"github.com/curfewhq/curfew/events"
)

// Feed brings the stream to a replica. Package revocationnats has the real one; every feed passes revocationtest's suite.
type Feed interface {
	// Follow delivers the stream to sink, in order and without gaps, until ctx ends or it can't go on; it always returns an
	// error. It calls sink.Begin first, and again never: to begin anew it returns, and the replica calls Follow again. When it
	// returns, it calls sink no more. It may be called again after it has returned; never twice at once.
	Follow(ctx context.Context, sink Sink) error
}

// Sink takes what a feed delivers. Its methods are called from one goroutine at a time and don't block for long.
type Sink interface {
	// Begin tells what the stream looks like and answers after which position to deliver. The feed returns Begin's error from
	// Follow as it is.
	Begin(Head) (after uint64, err error)
	// Event delivers an event.
	Event(p Place, e events.Event)
	// Skip tells of a message that holds no event that this version knows. It is counted and never fatal.
	Skip(p Place, err error)
	// Beat delivers a beat, which alone is proof of freshness: it has come the way that the events come. Nothing but what has been delivered
	// up to its position was acknowledged before its AsOf. One whose AsOf lies well ahead by both of its readings proves something of a time that
	// nobody knows: a feed calls Reach instead, and finds out what time it is.
	Beat(p Place)
	// Reach says that there is nothing more to deliver up to position, though the last messages may have been removed. It proves nothing
	// about freshness.
	Reach(position uint64)
}

// Place is where a message lies in the stream, and when it was stored there.
type Place struct {
	Position uint64
	// Stored is the time that the stream gave it, by the stream's clock.
	Stored time.Time
	// AsOf is the same moment, or an earlier one, as a reading of this process's own clock (time.Now, with its monotonic part). One that
	// was reckoned from another reading needn't be put right: the sink takes the larger age of the wall clock's and the monotonic one's, and the
	// future for now.
	AsOf time.Time
}

// Head is the state of the stream at the moment when a feed begins to follow it. It was asked for, and so has come by another way than the
// events: a leader that has been cut off answers too. A replica that has reached it is synced, and no fresher than before.
type Head struct {
	// Stream identifies the stream and its incarnation: a stream that was deleted and made again has another one.
	Stream string
	// First and Last are the first and last position. Last is 0 for a stream that never held anything.
	First, Last uint64
	// Retention is how long the stream keeps events. Zero means for ever.
	Retention time.Duration
	// WholeSince is since when the stream has every event that it stored: what it stored before may be gone, by a retention that is or was shorter or by
	// the stream's clock. Sessions that began before are past max age, for nobody knows what ended them. Zero: it was never anything but whole.
	WholeSince time.Time
	// Made identifies the stream as its server does: it is Stream, but without what only this process has found out, such as that it was put back to an
	// earlier state. Snapshots name it. Empty means Stream.
	Made string
	// HashKey is the deployment's key of fingerprints, random and the same for all replicas of the stream. Zero: there is none, and the
	// replica makes its own.
	HashKey HashKey
	// Holds reports whether the stream holds, at p.Position, a message that it stored at p.Stored. It asks the stream, and may block for some
	// seconds; an error means that nobody knows. It is called from Begin only. A feed whose Holds is nil can't be begun from a snapshot.
	Holds func(p Place) (bool, error)
}

func (h *Head) made() string { return cmp.Or(h.Made, h.Stream) }
