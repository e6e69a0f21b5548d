package gateways

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/internal/bus"
)

// maxFollowing is how many messages wait for a follower that is slow; each holds up to 1,000 of what it follows.
const maxFollowing = 256

// FollowOption is an option of FollowAcks and FollowPresence.
type FollowOption func(*following)

type following struct{ subscribed func() }

// WhenSubscribed has fn called once the NATS server knows of the subscription: of what gateways at the same server tell after that, nothing is missed as long
// as the connection lasts and the follower keeps up. So whoever waits for acknowledgements of an event begins to follow, and then publishes it. In a cluster
// the other servers learn of it a moment later. Nothing is heard while fn runs.
func WhenSubscribed(fn func()) FollowOption { return func(f *following) { f.subscribed = fn } }

// FollowAcks calls fn with each acknowledgement that gateways tell from now on, one at a time, until ctx ends; then it returns nil. The same one may come twice,
// and any may be missed; see the package's promises. It goes on by itself after the connection was lost. It returns ErrClosed after Close, and what NATS says
// when it can't subscribe.
func (f *Fleet) FollowAcks(ctx context.Context, fn func(Ack), opts ...FollowOption) error {
	return follow(ctx, f, bus.LiveAcksTopic, decodeAcks, fn, opts)
}

// FollowPresence is FollowAcks for changes of presence. Who is there already isn't told: nobody keeps that.
func (f *Fleet) FollowPresence(ctx context.Context, fn func(Change), opts ...FollowOption) error {
	return follow(ctx, f, bus.LivePresenceTopic, decodeChanges, fn, opts)
}

func follow[T any](ctx context.Context, f *Fleet, topic string, decode func([]byte) ([]T, int, error), fn func(T), opts []FollowOption) error {
	var following following
	for _, opt := range opts {
		opt(&following)
	}
	if f.closed() {
		return fmt.Errorf("gateways: follow %s: %w", topic, ErrClosed)
	}
	messages := make(chan *nats.Msg, maxFollowing)
	sub, err := f.nc.ChanSubscribe(topic, messages)
	if err != nil {
		return fmt.Errorf("gateways: follow %s: %w", topic, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only where there is nothing to end
	if following.subscribed != nil {
		if err := f.flush(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("gateways: follow %s: %w", topic, err)
		} else if err == nil {
			following.subscribed()
		}
	}
	missed := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.done:
			return fmt.Errorf("gateways: follow %s: %w", topic, ErrClosed)
		case msg := <-messages:
			list, bad, err := decode(msg.Data)
			if err != nil {
				bad = 1
			}
			f.bad.Add(uint64(bad))
			for _, item := range list {
				fn(item)
			}
			if n, err := sub.Dropped(); err == nil && n > missed {
				f.missed.Add(uint64(n - missed))
				missed = n
			}
		}
	}
}

// flush waits until the server has had all that was sent, for 10 s at most.
func (f *Fleet) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return f.nc.FlushWithContext(ctx)
}
