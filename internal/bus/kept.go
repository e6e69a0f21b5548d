package bus

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	askTimeout = 2 * time.Second
	askAgain   = 250 * time.Millisecond
)

// Kept tells since when a bucket holds all that was written to it within its TTL. It is safe for concurrent use.
type Kept struct {
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

// Kept asks for how far back a bucket goes, and makes it if it is missing.
func (b *Bus) Kept(ctx context.Context, bucket Bucket) (*Kept, error) {
	k := &Kept{bus: b, bucket: bucket, turn: make(chan struct{}, 1)}
	if _, err := k.Since(ctx); err != nil {
		return nil, streamError("look how far back bucket "+bucket.Name+" goes", err)
	}
	return k, nil
}

// Run asks again as soon as the connection is back each time that it was lost, until ctx ends. Without it the first call of Since would ask, and what was written
// between the two would count as lost.
func (k *Kept) Run(ctx context.Context) error {
	back := k.bus.Conn().StatusChanged(nats.CONNECTED)
	defer k.bus.Conn().RemoveStatusListener(back)
	for {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		_, err := k.Since(asking)
		cancel()
		var retry <-chan time.Time
		if err != nil {
			retry = time.After(askAgain/2 + rand.N(askAgain/2)) // the server may be there sooner than its streams
		}
		select {
		case <-ctx.Done():
			return nil
		case <-back:
		case <-retry:
		}
	}
}

// Since returns since when the bucket holds all that was written to it within its TTL. A bucket in memory is empty after its servers have ended, and who looks for
// an entry mustn't take that for its never having been written. The server was asked after the connection was last lost; then the answer may be later than need be,
// by the TTL at most, and it is never too early, but for what the clocks of this process and the server's differ by. A bucket that is gone altogether, as after a
// lone server was started anew, is made anew.
//
// Not found out is a loss of all that a bucket's servers had while the server that this process is connected to went on.
func (k *Kept) Since(ctx context.Context) (time.Time, error) {
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
func (k *Kept) known() (time.Time, bool) {
	lost := k.bus.Conn().Stats().Reconnects
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.since, k.asked && k.lost == lost
}
