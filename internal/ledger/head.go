package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
)

// nextTimeout bounds the asking for a message.
const nextTimeout = 5 * time.Second

// Head is what the stream's leader says of it.
type Head struct {
	// Made is when the stream was made, by which one that was made anew is told from the one before it.
	Made time.Time
	// First and Last are its first and last positions. An empty stream's First lies behind its Last.
	First, Last uint64
	// WholeSince is since when it has every event that it stored; zero means always.
	WholeSince time.Time
	Clock      Clock
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
		Clock: Clock{Ours: asked, Streams: info.TimeStamp},
	}
	r.clock.Store(&h.Clock)
	return h, nil
}

// noMessageFound is JetStream's error code for a message that isn't there.
const noMessageFound = 10037

// Next asks the leader for the position of the first message on topics behind a position; 0 means that there is none. A consumer's "nothing pending" doesn't
// tell that: it may live beside a copy of the stream that lags.
func (r *Reader) Next(ctx context.Context, topics string, after uint64) (position uint64, err error) {
	fail := func(err error) (uint64, error) {
		return 0, fmt.Errorf("next message of stream %s: %w", r.stream, err)
	}
	question, err := json.Marshal(map[string]any{"seq": after + 1, "next_by_subj": topics})
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, nextTimeout)
	defer cancel()
	// Not Stream.GetMsg, which any copy answers where the stream allows that.
	reply, err := r.js.Conn().RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.MSG.GET."+r.stream, question)
	if err != nil {
		return fail(err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Position uint64 `json:"seq"`
		} `json:"message"`
	}
	switch err := json.Unmarshal(reply.Data, &answer); {
	case err != nil:
		return fail(err)
	case answer.Error != nil && answer.Error.ErrorCode == noMessageFound:
		return 0, nil
	case answer.Error != nil:
		return fail(answer.Error)
	case answer.Message.Position == 0:
		return fail(errors.New("the answer is empty"))
	}
	return answer.Message.Position, nil
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
