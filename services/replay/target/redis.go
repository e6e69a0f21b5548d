package target

import (
	"context"
	"fmt"

	"github.com/curfewhq/curfew/internal/redisstore"
)

// redisBatch is how many events are added to the stream at once.
const redisBatch = 256

// redisStream adds events to a Redis Stream of the replay's own. An entry's id is the event's position, so that Redis itself refuses what it has.
type redisStream struct {
	streams *redisstore.Streams
	key     string
	waiting []redisstore.Entry
}

func openRedis(streams *redisstore.Streams, replay string) Target {
	return &redisStream{streams: streams, key: redisstore.StreamKey(replay)}
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
	if err := t.streams.Add(ctx, t.key, t.waiting); err != nil {
		return fmt.Errorf("target redis: %w", err)
	}
	clear(t.waiting)
	t.waiting = t.waiting[:0]
	return nil
}

func (t *redisStream) Finish(context.Context) error { return nil }
func (t *redisStream) Result() Result               { return Result{Key: t.key} }
func (t *redisStream) Close()                       {}
