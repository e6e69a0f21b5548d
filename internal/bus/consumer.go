package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// consumer opens the durable, or creates the consumer. A durable that follows another topic is refused: changing its filter
// would silently skip messages for whoever else uses it.
func (s *subscription) consumer(ctx context.Context) (jetstream.Consumer, error) {
	cfg := s.owner.consumerConfig(s.topic)
	js := s.owner.bus.js
	if cfg.Durable == "" {
		return s.create(ctx, cfg)
	}
	existing, err := js.Consumer(ctx, s.owner.cfg.Stream, cfg.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return s.create(ctx, cfg)
	}
	if err != nil {
		return nil, consumerError(s.owner.cfg, err)
	}
	have := existing.CachedInfo()
	if have.Config.FilterSubject != cfg.FilterSubject || len(have.Config.FilterSubjects) > 0 || have.Config.AckPolicy != cfg.AckPolicy {
		return nil, &Error{
			Op:   "open durable " + cfg.Durable,
			Err:  fmt.Errorf("%w: it follows %q", ErrConsumerMismatch, have.Config.FilterSubject),
			Hint: "use another durable, or remove this one with nats consumer rm " + s.owner.cfg.Stream + " " + cfg.Durable,
		}
	}
	s.remember(have)
	if have.Config.AckWait == cfg.AckWait && have.Config.MaxAckPending == cfg.MaxAckPending && have.Config.MaxDeliver == cfg.MaxDeliver {
		return existing, nil
	}
	// Where a consumer starts can't be changed, and doesn't matter once it exists.
	cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = have.Config.DeliverPolicy, have.Config.OptStartSeq, have.Config.OptStartTime
	updated, err := js.UpdateConsumer(ctx, s.owner.cfg.Stream, cfg)
	if err != nil {
		return nil, consumerError(s.owner.cfg, err)
	}
	return updated, nil
}

// create makes the consumer. One that this subscription already used and that is gone (an operator deleted it, the server
// forgot an ephemeral one during an outage) starts after the last message known to be acknowledged, so that nothing is lost
// and little is repeated.
func (s *subscription) create(ctx context.Context, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	if s.known {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, s.floor+1
		stream, err := s.owner.bus.js.Stream(ctx, s.owner.cfg.Stream)
		if err != nil {
			return nil, consumerError(s.owner.cfg, err)
		}
		if last := stream.CachedInfo().State.LastSeq; last < s.floor {
			// The stream itself was replaced: all of it is new.
			cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverAllPolicy, 0
		}
	}
	created, err := s.owner.bus.js.CreateConsumer(ctx, s.owner.cfg.Stream, cfg)
	if err != nil {
		return nil, consumerError(s.owner.cfg, err)
	}
	s.remember(created.CachedInfo())
	return created, nil
}

// remember keeps up to which position everything is acknowledged. For a new consumer that starts at the stream's end, that
// is where it starts.
func (s *subscription) remember(info *jetstream.ConsumerInfo) {
	floor := info.AckFloor.Stream
	if !s.known && info.NumPending == 0 && info.NumAckPending == 0 {
		floor = max(floor, info.Delivered.Stream)
	}
	s.floor, s.known = max(floor, s.floor), true
}

func consumerError(cfg SubscriberConfig, err error) error {
	hint := "the user needs the right to create consumers on " + cfg.Stream
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		hint = "create the streams first: curfew does so at its start"
	}
	return &Error{Op: "open consumer on " + cfg.Stream, Err: err, Hint: hint}
}
