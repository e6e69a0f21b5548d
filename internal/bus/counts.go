package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
)

// countTries is how often events are counted anew that nobody should store meanwhile.
const countTries = 100

// EventsUpTo returns how many events the ledger holds up to a position, and false if so many are stored all the time that they can't be told from those behind it. Beats are none: they expire, in a snapshot too.
func (b *Bus) EventsUpTo(ctx context.Context, position uint64) (n uint64, counted bool, err error) {
	before, err := b.eventsFrom(ctx, position+1)
	for try := 0; err == nil && try < countTries; try++ {
		var all, after uint64
		if all, err = b.eventsFrom(ctx, 1); err != nil {
			break
		}
		if after, err = b.eventsFrom(ctx, position+1); err == nil && after == before {
			return all - after, true, nil
		}
		before = after
	}
	return 0, false, err
}

// eventsFrom returns how many events the ledger holds from a position on.
func (b *Bus) eventsFrom(ctx context.Context, position uint64) (uint64, error) {
	cons, err := b.js.CreateConsumer(ctx, LedgerStream, jetstream.ConsumerConfig{
		FilterSubject: events.TopicAll, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: position,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return 0, fmt.Errorf("count events: %w", err)
	}
	info := cons.CachedInfo()
	return info.NumPending, b.js.DeleteConsumer(ctx, LedgerStream, info.Name)
}
