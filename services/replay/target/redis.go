package target

import (
	"context"
	"fmt"

	"github.com/curfewhq/curfew/internal/exportfile"
	"github.com/curfewhq/curfew/internal/redisstore"
)

// redisBatch is how many events are added to the stream at once.
const redisBatch = 256

// redisStream adds events to a Redis Stream of the replay's own. An entry's id is the event's position, so that Redis itself refuses what it has. What it has lost, as when it keeps nothing on the disk and was started anew,
// is noticed by the last entry that was added.
type redisStream struct {
	streams *redisstore.Streams
	key     string
	waiting []redisstore.Entry
	// last is the position of the last entry that Redis has taken.
	last uint64
}

func openRedis(ctx context.Context, streams *redisstore.Streams, replay string, from *Checkpoint) (Target, error) {
	t := &redisStream{streams: streams, key: redisstore.StreamKey(replay)}
	if from.Tally != nil {
		t.last = from.Tally.Last
	}
	if err := t.has(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// has returns ErrBeginAnew where the stream doesn't reach as far as it did.
func (t *redisStream) has(ctx context.Context) error {
	if t.last == 0 {
		return nil
	}
	last, err := t.streams.Last(ctx, t.key)
	switch {
	case err != nil:
		return fmt.Errorf("target redis: %w", err)
	case last < t.last:
		return fmt.Errorf("target redis: %w: its stream ends at %d, and did at %d", ErrBeginAnew, last, t.last)
	}
	return nil
}

func (t *redisStream) Send(ctx context.Context, m Message) error {
	t.waiting = append(t.waiting, redisstore.Entry{Position: m.Position, ID: m.ID, Event: m.Data})
	if len(t.waiting) < redisBatch {
		return nil
	}
	return t.Flush(ctx)
}

func (t *redisStream) Flush(ctx context.Context) error {
	if len(t.waiting) == 0 {
		return nil
	}
	// Before the stream is made anew, and looks as if it reached as far.
	if err := t.has(ctx); err != nil {
		return err
	}
	if err := t.streams.Add(ctx, t.key, t.waiting); err != nil {
		return fmt.Errorf("target redis: %w", err)
	}
	t.last = t.waiting[len(t.waiting)-1].Position
	clear(t.waiting)
	t.waiting = t.waiting[:0]
	return nil
}

// Finish looks once more: what was lost behind the last events is sent again, too.
func (t *redisStream) Finish(ctx context.Context) error { return t.has(ctx) }

func (t *redisStream) Result() Result { return Result{Key: t.key} }
func (t *redisStream) Close()         {}

// Checkpoint tells up to where the stream reaches.
func (t *redisStream) Checkpoint() Checkpoint {
	return Checkpoint{Result: t.Result(), Tally: &exportfile.Manifest{Last: t.last}}
}
