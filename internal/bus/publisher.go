package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	defaultPublishTimeout = 5 * time.Second
	// A stream without a leader for a moment answers "no responders"; that is certain not to have stored anything, so it is
	// tried again shortly.
	noStreamRetries   = 2
	noStreamRetryWait = 250 * time.Millisecond
)

// Publisher stores messages and waits for the stream's acknowledgement. It implements Watermill's message.Publisher and is
// safe for concurrent use.
type Publisher struct {
	bus     *Bus
	reserve int64 // bytes of free disk below which nothing is tried

	underWay sync.WaitGroup // publishes; grows only under mu, while closed is false

	mu     sync.Mutex // never held while anything is sent
	closed bool       // guarded by mu
}

// Ack is a stream's acknowledgement: the message is stored.
type Ack struct {
	// Position is the message's sequence in its stream; for a duplicate, that of the message stored first.
	Position uint64
	// Duplicate says that a message with this id was already stored and this one was not.
	Duplicate bool
	// Stream is the name of the stream.
	Stream string
}

// Publisher returns a new publisher over the connection of the Bus. Closing it doesn't close the Bus.
func (b *Bus) Publisher() *Publisher { return &Publisher{bus: b, reserve: diskReserve} }

// Publish stores the messages one after the other, each acknowledged before the next is sent, and stops at the first error.
// Each message's own context bounds it, or 5 s where that has no deadline. Errors are as in PublishAck.
func (p *Publisher) Publish(topic string, msgs ...*message.Message) error {
	for i, msg := range msgs {
		ctx := context.Background()
		if msg != nil {
			ctx = msg.Context()
		}
		if _, err := p.PublishAck(ctx, topic, msg); err != nil {
			if len(msgs) > 1 {
				return fmt.Errorf("message %d of %d: %w", i+1, len(msgs), err)
			}
			return err
		}
	}
	return nil
}

// PublishAck stores one message and returns where. It returns within the deadline of ctx, or 5 s where that has none. Every
// error is an ErrNotStored or an ErrUnknownOutcome. The message must not be changed meanwhile.
func (p *Publisher) PublishAck(ctx context.Context, topic string, msg *message.Message) (Ack, error) {
	if err := p.begin(ctx); err != nil {
		return Ack{}, p.outcome(topic, err)
	}
	defer p.underWay.Done()
	m, err := Marshal(topic, msg)
	if err != nil {
		return Ack{}, p.outcome(topic, err)
	}
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	ack, err := p.send(ctx, m)
	if err != nil {
		return Ack{}, p.outcome(topic, err)
	}
	return p.acknowledged(ack), nil
}

// begin enters a publish, which Close waits for until underWay.Done. After an error there is nothing to be done.
func (p *Publisher) begin(ctx context.Context) error {
	if !p.enter() {
		return fmt.Errorf("%w: %w", errBeforeSending, ErrClosed)
	}
	if err := p.ready(ctx); err != nil {
		p.underWay.Done()
		return err
	}
	return nil
}

// enter reports whether the publisher is open, and if it is counts a publish: in one step, so that Close misses none.
func (p *Publisher) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.underWay.Add(1)
	}
	return !p.closed
}

// ready says no while nothing has been sent.
func (p *Publisher) ready(ctx context.Context) error {
	if p.bus.closing.Load() || p.bus.nc.IsClosed() {
		return fmt.Errorf("%w: %w", errBeforeSending, ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", errBeforeSending, err)
	}
	if p.bus.diskLow(p.reserve) {
		return fmt.Errorf("%w: %w: the disk of %s has less than %d MiB left: free some space", errBeforeSending, ErrFull, p.bus.cfg.Embedded.Dir, p.reserve>>20)
	}
	return nil
}

// send repeats what certainly wasn't stored because no stream answered.
func (p *Publisher) send(ctx context.Context, m *nats.Msg) (*jetstream.PubAck, error) {
	for try := 0; ; try++ {
		ack, err := p.bus.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
		if !errors.Is(err, jetstream.ErrNoStreamResponse) || try == noStreamRetries {
			return ack, err
		}
		retry := time.NewTimer(noStreamRetryWait)
		select {
		case <-retry.C:
		case <-ctx.Done():
			retry.Stop()
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, err
		}
	}
}

func (p *Publisher) acknowledged(ack *jetstream.PubAck) Ack {
	p.bus.stats.stored.Add(1)
	if ack.Duplicate {
		p.bus.stats.duplicates.Add(1)
	}
	return Ack{Position: ack.Sequence, Duplicate: ack.Duplicate, Stream: ack.Stream}
}

// Close refuses further publishes and waits for those under way, each of which ends by its own deadline. It is idempotent
// and never fails.
func (p *Publisher) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.underWay.Wait()
	return nil
}

func withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultPublishTimeout)
}
