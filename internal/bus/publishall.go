package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxBatch is the most messages that PublishAll takes at once.
const MaxBatch = 1000

// PublishAll stores up to MaxBatch messages, the i-th on the i-th topic, without waiting for one before sending the next, and
// then waits for every acknowledgement or the end of ctx (5 s where that has no deadline). Both results have one entry per
// message: errs[i] is nil exactly when acks[i] is valid, and otherwise as in PublishAck. Messages that are stored keep their
// order, but one may fail while a later one is stored.
func (p *Publisher) PublishAll(ctx context.Context, topics []string, msgs []*message.Message) (acks []Ack, errs []error) {
	acks, errs = make([]Ack, len(msgs)), make([]error, len(msgs))
	if err := p.beginBatch(ctx, topics, msgs); err != nil {
		for i := range msgs {
			errs[i] = p.outcome(topicAt(topics, i), err)
		}
		return acks, errs
	}
	defer p.underWay.Done()
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	sent := make([]jetstream.PubAckFuture, len(msgs))
	for i, msg := range msgs {
		if sent[i], errs[i] = p.sendAsync(ctx, topics[i], msg); errs[i] != nil {
			errs[i] = p.outcome(topics[i], errs[i])
		}
	}
	for i, future := range sent {
		if future == nil {
			continue
		}
		ack, err := wait(ctx, future)
		if err != nil {
			errs[i] = p.outcome(topics[i], err)
			continue
		}
		acks[i] = p.acknowledged(ack)
	}
	return acks, errs
}

// beginBatch is begin for many.
func (p *Publisher) beginBatch(ctx context.Context, topics []string, msgs []*message.Message) error {
	if len(msgs) > MaxBatch {
		return fmt.Errorf("%w: %d messages at once: send at most %d", ErrInvalid, len(msgs), MaxBatch)
	}
	if len(topics) != len(msgs) {
		return fmt.Errorf("%w: %d topics for %d messages", ErrInvalid, len(topics), len(msgs))
	}
	return p.begin(ctx)
}

func (p *Publisher) sendAsync(ctx context.Context, topic string, msg *message.Message) (jetstream.PubAckFuture, error) {
	m, err := Marshal(topic, msg)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	if ctx.Err() != nil || left <= 0 {
		return nil, fmt.Errorf("%w: %w", errBeforeSending, context.DeadlineExceeded)
	}
	return p.bus.js.PublishMsgAsync(m, jetstream.WithStallWait(left))
}

// wait prefers an answer that is there to the end of ctx, so that a late reader of many futures doesn't take a stored
// message for an unknown one.
func wait(ctx context.Context, future jetstream.PubAckFuture) (*jetstream.PubAck, error) {
	select {
	case ack := <-future.Ok():
		return ack, nil
	case err := <-future.Err():
		return nil, err
	default:
	}
	select {
	case ack := <-future.Ok():
		return ack, nil
	case err := <-future.Err():
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func topicAt(topics []string, i int) string {
	if i < len(topics) {
		return topics[i]
	}
	return ""
}
