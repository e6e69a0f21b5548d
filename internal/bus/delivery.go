package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/telemetry"
)

// crashFactor times MaxDeliver is how often a message is delivered without any answer before it is parked unseen. It is
// generous because deliveries that never reached a handler, in a process that was stopped, count too.
const crashFactor = 4

// Delivery says where a message came from. It is in the context of every message from a [Subscriber].
type Delivery struct {
	// Topic the message was published to.
	Topic string
	// Stream, and the consumer that delivered it.
	Stream, Consumer string
	// Position in the stream.
	Position uint64
	// Deliveries counts this one too: 1 is the first.
	Deliveries uint64
	// MaxDeliver is the subscriber's; zero or less means that the message is never parked for failing.
	MaxDeliver int
	// Stored is when the stream took the message, by the server's clock.
	Stored time.Time
	// Header and Payload are the message as it is stored. Don't change them.
	Header  nats.Header
	Payload []byte

	durable string // empty for an ephemeral consumer
}

// Last reports whether the message is parked if this delivery fails too.
func (d Delivery) Last() bool { return d.MaxDeliver > 0 && d.Deliveries >= uint64(d.MaxDeliver) }

type deliveryKey struct{}

// DeliveryOf returns where a message came from, and false for a message that didn't come from a [Subscriber].
func DeliveryOf(msg *message.Message) (Delivery, bool) {
	d, ok := msg.Context().Value(deliveryKey{}).(Delivery)
	return d, ok
}

// delivery is a message between its arrival and its answer.
type delivery struct {
	Delivery
	raw     jetstream.Msg
	msg     *message.Message
	cancel  context.CancelFunc // ends the message's context
	claimed time.Time          // when the server last began to count AckWait
}

func (s *subscription) newDelivery(m jetstream.Msg) (*delivery, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	d := &delivery{raw: m, claimed: time.Now(), Delivery: Delivery{
		Topic: m.Subject(), Stream: meta.Stream, Consumer: meta.Consumer,
		Position: meta.Sequence.Stream, Deliveries: meta.NumDelivered, MaxDeliver: s.owner.cfg.MaxDeliver,
		Stored: meta.Timestamp, Header: m.Headers(), Payload: m.Data(), durable: s.owner.cfg.Durable,
	}}
	d.msg = Unmarshal(d.Header, d.Payload)
	if d.msg.UUID == "" {
		d.msg.UUID = fmt.Sprintf("%s/%d", d.Stream, d.Position)
	}
	ctx, cancel := context.WithCancel(context.WithValue(s.parent, deliveryKey{}, d.Delivery))
	d.msg.SetContext(ctx)
	d.cancel = cancel
	return d, nil
}

// dispatch hands messages over in the order of their arrival until stop, and returns those nobody took. While a message
// waits, its claim is renewed: only the handler's time counts against AckWait.
func (s *subscription) dispatch() (waiting []*delivery) {
	renew := time.NewTicker(s.owner.cfg.AckWait / 4)
	defer renew.Stop()
	for {
		var out chan<- *message.Message
		var next *message.Message
		if len(waiting) > 0 {
			out, next = s.out, waiting[0].msg
		}
		arrivals := s.arrivals
		if len(waiting) >= s.owner.cfg.Window {
			arrivals = nil
		}
		select {
		case m := <-arrivals:
			if d := s.accept(m); d != nil {
				waiting = append(waiting, d)
			}
		case out <- next:
			s.handedOver(waiting[0])
			waiting[0] = nil
			waiting = waiting[1:]
		case <-renew.C:
			s.renew(waiting, s.owner.cfg.AckWait/4)
		case <-s.stop.Done():
			return waiting
		}
	}
}

// accept returns the delivery, or nil when it is dealt with already: parked because nobody ever answered it.
func (s *subscription) accept(m jetstream.Msg) *delivery {
	d, err := s.newDelivery(m)
	if err != nil {
		s.owner.bus.cfg.Log.WithError(err).Error("a message without JetStream's reply address arrived; it can't be acknowledged")
		return nil
	}
	if d.MaxDeliver > 0 && d.Deliveries > uint64(crashFactor*d.MaxDeliver) {
		s.atWork.Go(func() {
			defer d.cancel()
			s.park(d, fmt.Errorf("delivered %d times and never answered: whoever took it may have crashed", d.Deliveries))
		})
		return nil
	}
	return d
}

// renew tells the server that the messages are being taken care of.
func (s *subscription) renew(waiting []*delivery, olderThan time.Duration) {
	now := time.Now()
	for _, d := range waiting {
		if now.Sub(d.claimed) < olderThan {
			continue
		}
		if err := d.raw.InProgress(); err != nil {
			return // without a connection the others fare no better
		}
		d.claimed = now
	}
}

// handedOver begins to wait for the handler's answer.
func (s *subscription) handedOver(d *delivery) {
	s.owner.bus.stats.delivered.Add(1)
	if d.Deliveries > 1 {
		s.owner.bus.stats.redelivered.Add(1)
	}
	s.renew([]*delivery{d}, s.owner.cfg.AckWait/8)
	s.atWork.Go(func() {
		defer d.cancel()
		s.await(d)
	})
}

// await acts on the handler's answer: acknowledge after the effect, never before.
func (s *subscription) await(d *delivery) {
	timeout := time.NewTimer(s.owner.cfg.AckWait - time.Since(d.claimed))
	defer timeout.Stop()
	select {
	case <-d.msg.Acked():
		s.acknowledge(d)
	case <-d.msg.Nacked():
		s.refused(d)
	case <-timeout.C:
		s.owner.bus.stats.expired.Add(1)
		if d.Last() {
			s.park(d, fmt.Errorf("no answer within %v, for the %s time", s.owner.cfg.AckWait, ordinal(d.Deliveries)))
		}
		// Otherwise the server is about to deliver it again on its own.
	case <-s.hard.Done():
		// Shutting down, the handler's grace is over. One that has answered just now still counts.
		select {
		case <-d.msg.Acked():
			s.acknowledge(d)
		case <-d.msg.Nacked():
			s.giveBack(d.raw)
		default:
		}
	}
}

func (s *subscription) acknowledge(d *delivery) {
	if err := d.raw.Ack(); err != nil {
		s.owner.bus.cfg.Log.WithError(err).WithField(telemetry.FieldPosition, d.Position).Warn("acknowledgement not sent; the message will be delivered again")
		return
	}
	s.owner.bus.stats.acknowledged.Add(1)
}

func (s *subscription) refused(d *delivery) {
	s.owner.bus.stats.refused.Add(1)
	if d.Last() {
		s.park(d, errors.New("the handler refused it for the "+ordinal(d.Deliveries)+" time"))
		return
	}
	s.repeatLater(d)
}

func (s *subscription) repeatLater(d *delivery) {
	wait := s.owner.cfg.NackDelay(d.Deliveries)
	err := error(nil)
	if wait > 0 {
		err = d.raw.NakWithDelay(wait)
	} else {
		err = d.raw.Nak()
	}
	if err != nil {
		s.owner.bus.cfg.Log.WithError(err).Debug("refusal not sent; the message is delivered again after its wait")
	}
}

// park puts the message aside and only then acknowledges it. If it can't be put aside, it will be delivered again.
func (s *subscription) park(d *delivery, reason error) {
	// Parking may outlast what is left of AckWait. If this fails, a second delivery is parked under the same id.
	_ = d.raw.InProgress()
	if _, err := s.owner.bus.parker.park(context.WithoutCancel(s.parent), d.Delivery, reason); err != nil {
		s.owner.bus.log(d.Delivery).WithError(err).Error("poison message can't be parked; it stays unacknowledged and is tried again")
		s.repeatLater(d)
		return
	}
	s.acknowledge(d)
}

func ordinal(n uint64) string {
	switch n {
	case 1:
		return "first"
	case 2:
		return "second"
	case 3:
		return "third"
	}
	return fmt.Sprintf("%dth", n)
}
