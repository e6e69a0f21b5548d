package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
)

// Head is what the stream's leader says of it.
type Head struct {
	// Made is when the stream was made, by which one that was made anew is told from the one before it.
	Made time.Time
	// First and Last are its first and last positions. An empty stream's First lies behind its Last.
	First, Last uint64
	// WholeSince is since when it has every event that it stored; zero means always.
	WholeSince time.Time
	// Retention is how long it keeps events; zero is for ever.
	Retention time.Duration
	Clock     Clock
}

// Head asks the leader. A reader remembers the clock of the last answer.
func (r *Reader) Head(ctx context.Context) (Head, error) {
	asked := time.Now()
	// js.Stream asks the leader each time, so the answer is never an old one.
	stream, err := r.js.Stream(ctx, r.stream)
	if err != nil {
		return Head{}, fmt.Errorf("head of stream %s: %w", r.stream, err)
	}
	info := stream.CachedInfo()
	h := Head{
		Made: info.Created, First: info.State.FirstSeq, Last: info.State.LastSeq, WholeSince: bus.WholeSince(info.Config, info.TimeStamp),
		Retention: info.Config.MaxAge,
		Clock:     Clock{Ours: asked, Streams: info.TimeStamp},
	}
	r.clock.Store(&h.Clock)
	return h, nil
}

// GoneBefore is before when what was stored has left the stream for its age; zero while that is nothing.
func (h Head) GoneBefore() time.Time {
	if gone := h.Clock.Streams.Add(-h.Retention); h.Retention > 0 && gone.After(h.Made) {
		return gone
	}
	return time.Time{}
}

// Clock is that of the last answer of Head, and zero before the first.
func (r *Reader) Clock() Clock {
	if c := r.clock.Load(); c != nil {
		return *c
	}
	return Clock{}
}

// Clock pairs a reading of our clock with a later or equal moment of the stream's, so that what the stream has dated can be dated on ours without the
// two agreeing (ADR 0018).
type Clock struct{ Ours, Streams time.Time }

// Age returns how long before now a message was stored, at most. It is negative if it lies ahead by both of our clocks, so that they aren't what they
// were: then nothing is known until the stream is asked again.
//
// The monotonic clock stands still while a machine sleeps, and the wall clock can be set back: the larger of the two ages is right in both cases.
func (c Clock) Age(stored, now time.Time) time.Duration {
	asOf := c.Ours.Add(stored.Sub(c.Streams))
	return max(now.Sub(asOf), now.Round(0).Sub(asOf.Round(0)))
}

// Now returns the stream's time at a reading of our clock, at the earliest.
func (c Clock) Now(now time.Time) time.Time { return c.Streams.Add(now.Sub(c.Ours)) }
