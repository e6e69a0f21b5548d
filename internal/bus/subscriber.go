package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	defaultAckWait    = 30 * time.Second
	defaultMaxDeliver = 5
	defaultWindow     = 1024
	defaultGrace      = 5 * time.Second

	minNackDelay = 200 * time.Millisecond
	maxNackDelay = time.Minute

	// ephemeralThreshold is how long the server keeps an ephemeral consumer whose process is gone.
	ephemeralThreshold = 5 * time.Minute
)

// SubscriberConfig configures a [Subscriber]. The zero value is usable.
type SubscriberConfig struct {
	// Stream to read. Empty means LedgerStream.
	Stream string
	// Durable is the consumer whose progress the server remembers. Processes with the same Durable share its messages; one
	// Durable follows one topic. Empty means an ephemeral consumer per Subscribe, whose progress ends with it.
	Durable string
	// DeliverNew starts a new consumer after the stream's present end instead of at its beginning. A durable that exists
	// goes on where it was.
	DeliverNew bool
	// AckWait is how long a handler may take: after that its message's context ends and the message is delivered again.
	// Waiting for a handler to become free doesn't count. Zero means 30 s; at least 100 ms.
	AckWait time.Duration
	// MaxDeliver is after how many deliveries a message whose handler failed again is parked. Zero means 5, negative never.
	// A message that nobody ever answers, because each process that takes it dies, is parked after four times as many.
	MaxDeliver int
	// Window is how many messages may be delivered and not yet acknowledged, over all processes with this Durable. With 1,
	// messages come strictly in order, and a failing one holds up all others until it is parked. Zero means 1,024.
	Window int
	// NackDelay is how long a message waits after its handler refused it; deliveries is how often it was delivered so far,
	// at least 1. Nil doubles from 200 ms to 1 min, of which a random half is taken off.
	NackDelay func(deliveries uint64) time.Duration
	// Grace is how long Close waits for handlers that are at work before it ends their messages' contexts. Zero means 5 s,
	// negative not at all. What wasn't acknowledged by then is delivered again.
	Grace time.Duration
}

// Subscriber delivers the messages of a stream at least once. It implements Watermill's message.Subscriber and is safe for
// concurrent use.
type Subscriber struct {
	bus *Bus
	cfg SubscriberConfig

	stop    context.Context // ended by Close
	endStop context.CancelFunc

	mu      sync.Mutex
	closed  bool           // guarded by mu
	running sync.WaitGroup // its Add is guarded by mu
}

// NewSubscriber returns a subscriber over the connection of the Bus; nothing is read until Subscribe. The caller closes it;
// what is still open is closed by Bus.Close.
func (b *Bus) NewSubscriber(cfg SubscriberConfig) (*Subscriber, error) {
	if err := checkDurable(cfg.Durable); err != nil {
		return nil, fmt.Errorf("new subscriber: %w", err)
	}
	setDefault(&cfg.Stream, LedgerStream)
	setDefault(&cfg.AckWait, defaultAckWait)
	setDefault(&cfg.MaxDeliver, defaultMaxDeliver)
	setDefault(&cfg.Window, defaultWindow)
	setDefault(&cfg.Grace, defaultGrace)
	if cfg.NackDelay == nil {
		cfg.NackDelay = nackDelay
	}
	if cfg.AckWait < 100*time.Millisecond || cfg.Window < 0 {
		return nil, errors.New("new subscriber: ack wait is at least 100 ms, and the window isn't negative")
	}
	s := &Subscriber{bus: b, cfg: cfg}
	s.stop, s.endStop = context.WithCancel(context.Background())
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subscribers == nil {
		s.endStop()
		return nil, fmt.Errorf("new subscriber: %w", ErrClosed)
	}
	b.subscribers[s] = struct{}{}
	return s, nil
}

// nackDelay is the default of NackDelay.
func nackDelay(deliveries uint64) time.Duration {
	wait := maxNackDelay
	if deliveries < 10 {
		wait = min(wait, minNackDelay<<max(deliveries, 1)>>1)
	}
	return wait/2 + rand.N(wait/2)
}

// Subscribe makes sure of the consumer and delivers the messages of topic, which may hold NATS wildcards, to the returned
// channel until ctx ends or the subscriber is closed; then it closes the channel. Messages that nobody took from the channel
// by then are given back at once. The next message doesn't wait for the acknowledgement of the one before, up to Window.
//
// A message's context carries its [Delivery], and ends when the message is answered, when AckWait is over, and with ctx.
// Subscribe returns an ErrConsumerMismatch when the durable follows another topic.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, fmt.Errorf("subscribe to %s: %w", topic, ErrClosed)
	}
	s.running.Add(1)
	s.mu.Unlock()
	sub := newSubscription(ctx, s, topic)
	consumer, err := sub.consumer(ctx)
	if err != nil {
		sub.end()
		s.running.Done()
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	go func() {
		defer s.running.Done()
		sub.run(consumer)
	}()
	return sub.out, nil
}

// Close stops delivering, waits up to Grace for the handlers at work, and returns when every channel is closed. It is
// idempotent, safe to race, and never fails.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.endStop()
	s.running.Wait()
	s.bus.mu.Lock()
	delete(s.bus.subscribers, s)
	s.bus.mu.Unlock()
	return nil
}

// consumerConfig is the consumer for a topic. The server never gives up on a message (MaxDeliver -1): it would do so
// silently, and we park instead.
func (s *Subscriber) consumerConfig(topic string) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable:       s.cfg.Durable,
		FilterSubject: topic,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       s.cfg.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: s.cfg.Window,
		DeliverPolicy: jetstream.DeliverAllPolicy,
	}
	if s.cfg.DeliverNew {
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	}
	if s.cfg.Durable == "" {
		cfg.InactiveThreshold = ephemeralThreshold
	}
	return cfg
}
