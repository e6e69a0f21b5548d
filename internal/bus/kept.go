package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// KeptSince returns what tells since when a bucket holds all that was written to it within its TTL. A bucket in memory is empty after its servers have ended, and who
// looks for an entry mustn't take that for its never having been written. It asks at once, and again after each time that the connection was lost; then the answer may
// be later than need be, by the TTL at most, and it is never too early, but for what the clocks of this process and the server's differ by. A bucket that is gone
// altogether, as after a lone server was started anew, is made anew. The returned func is safe for concurrent use.
//
// Not found out is a loss of all that a bucket's servers had while the server that this process is connected to went on.
func (b *Bus) KeptSince(ctx context.Context, bucket Bucket) (func(context.Context) (time.Time, error), error) {
	k := &kept{bus: b, bucket: bucket, turn: make(chan struct{}, 1)}
	if _, err := k.ask(ctx); err != nil {
		return nil, streamError("look how far back bucket "+bucket.Name+" goes", err)
	}
	return k.ask, nil
}

type kept struct {
	bus    *Bus
	bucket Bucket

	// turn is held by who asks the server, for no longer than its context lasts.
	turn chan struct{}

	mu sync.Mutex
	// since is what was answered when the connection had been lost that often.
	since time.Time
	lost  uint64
	asked bool
}

func (k *kept) ask(ctx context.Context) (time.Time, error) {
	if since, ok := k.known(); ok {
		return since, nil
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	}
	if since, ok := k.known(); ok {
		return since, nil // of who had the turn before
	}
	// Before the question, so that a loss during it has it asked again; and what is written while it is answered is kept.
	lost, now := k.bus.Conn().Stats().Reconnects, time.Now()
	kv, err := k.bus.KeyValue(ctx, k.bucket)
	if err != nil {
		return time.Time{}, err
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return time.Time{}, err
	}
	bucket, ok := status.(*jetstream.KeyValueBucketStatus)
	if !ok {
		return time.Time{}, errors.New("the bucket doesn't tell of its stream")
	}
	since := now
	if state := bucket.StreamInfo().State; state.Msgs > 0 && state.FirstTime.Before(now) {
		since = state.FirstTime
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.since, k.lost, k.asked = since, lost, true
	return since, nil
}

// known returns the answer, unless the connection was lost since.
func (k *kept) known() (time.Time, bool) {
	lost := k.bus.Conn().Stats().Reconnects
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.since, k.asked && k.lost == lost
}
