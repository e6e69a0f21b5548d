package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// checkInterval is how often the server is asked whether the consumer still exists, and how far it is.
	checkInterval = 15 * time.Second
	// drainTimeout bounds waiting for nats.go to hand over what it had buffered.
	drainTimeout = 2 * time.Second
	// minPull is the smallest batch asked for, whatever the window; the server keeps to the window by itself. nats.go asks for
	// more only when a message arrives while no request is just being sent, so with a batch of 1 and a fast server it sometimes
	// forgets to ask, and hears nothing until it misses the heartbeat.
	minPull = 64
	// pullHeartbeat bounds such a silence, and that of a consumer that is gone, to twice as long. The default is 15 s.
	pullHeartbeat = 5 * time.Second
	// recreateWait is the pause after a consumer couldn't be created again.
	recreateWait = time.Second
)

// subscription is one call of Subscribe. Two goroutines belong to it for its whole life, run and follow, and one to each
// message that is with a handler. Only run sends to out and closes it, after nobody can send any more: that's why a cancel
// during traffic can't panic.
type subscription struct {
	owner *Subscriber
	topic string

	out      chan *message.Message
	arrivals chan jetstream.Msg

	parent  context.Context // Subscribe's: message contexts descend from it
	stop    context.Context // ends with parent or with the Subscriber: no more deliveries
	endStop context.CancelFunc
	hard    context.Context // ends when the grace is over: no answer is waited for any more
	endHard context.CancelFunc

	atWork sync.WaitGroup // messages that are with a handler

	// Owned by follow, and by Subscribe before that.
	floor uint64 // every position up to here is acknowledged
	known bool   // floor has been learned from the server
}

func newSubscription(ctx context.Context, owner *Subscriber, topic string) *subscription {
	s := &subscription{
		owner: owner, topic: topic,
		out:      make(chan *message.Message),
		arrivals: make(chan jetstream.Msg),
		parent:   ctx,
	}
	stop, cancel := context.WithCancel(ctx)
	detach := context.AfterFunc(owner.stop, cancel)
	s.stop, s.endStop = stop, func() { detach(); cancel() }
	s.hard, s.endHard = context.WithCancel(context.Background())
	return s
}

// end releases the contexts.
func (s *subscription) end() {
	s.endStop()
	s.endHard()
}

// run owns the subscription until it has ended.
func (s *subscription) run(consumer jetstream.Consumer) {
	defer s.end()
	var follower sync.WaitGroup
	follower.Go(func() { s.follow(consumer) })
	waiting := s.dispatch()
	// A message that arrives from here on is given back by the callback itself.
	follower.Wait()
	for _, d := range waiting {
		d.cancel()
		s.giveBack(d.raw)
	}
	close(s.out)
	s.awaitHandlers()
}

// awaitHandlers gives handlers at work their grace and then ends their messages' contexts. (Where Subscribe's own context
// has ended, theirs have ended with it; they may still answer.)
func (s *subscription) awaitHandlers() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.atWork.Wait()
	}()
	grace := time.NewTimer(max(s.owner.cfg.Grace, 0))
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
		s.endHard()
		<-done
	}
	// Acknowledgements may still be in the connection's buffer; whoever closes the connection next shouldn't lose them. If it
	// is down, they are lost and their messages are delivered again.
	_ = s.owner.bus.nc.FlushTimeout(drainTimeout)
}

// follow keeps a consumer running until stop: it creates it again when the server has lost it.
func (s *subscription) follow(consumer jetstream.Consumer) {
	for s.stop.Err() == nil {
		if consumer != nil {
			s.consume(consumer)
			consumer = nil
			continue
		}
		ctx, cancel := context.WithTimeout(s.stop, 5*time.Second)
		created, err := s.consumer(ctx)
		cancel()
		if err == nil {
			consumer = created
			continue
		}
		if s.stop.Err() == nil {
			s.owner.bus.cfg.Log.WithError(err).Error("consumer can't be opened again; trying on")
		}
		pause(s.stop, recreateWait)
	}
}

// consume passes messages on until stop, or until the consumer is found to be gone.
func (s *subscription) consume(consumer jetstream.Consumer) {
	doubt := make(chan struct{}, 1)
	running, err := consumer.Consume(s.arrived,
		jetstream.PullMaxMessages(max(s.owner.cfg.Window, minPull)),
		jetstream.PullHeartbeat(pullHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			s.owner.bus.cfg.Log.WithError(err).WithField("topic", s.topic).Debug("consumer reported")
			select {
			case doubt <- struct{}{}:
			default:
			}
		}))
	if err != nil {
		pause(s.stop, recreateWait)
		return
	}
	defer s.finish(running)
	check := time.NewTicker(checkInterval)
	defer check.Stop()
	for {
		select {
		case <-s.stop.Done():
			return
		case <-running.Closed():
			return
		case <-check.C:
		case <-doubt:
		}
		if s.gone(consumer) {
			s.owner.bus.cfg.Log.WithField("topic", s.topic).Warn("the consumer is gone; creating it again after what was acknowledged")
			return
		}
	}
}

// gone asks the server for the consumer, and remembers how far it is. No answer doesn't mean that it is gone.
func (s *subscription) gone(consumer jetstream.Consumer) bool {
	ctx, cancel := context.WithTimeout(s.stop, 2*time.Second)
	defer cancel()
	info, err := consumer.Info(ctx)
	if err == nil {
		s.remember(info)
		return false
	}
	return errors.Is(err, jetstream.ErrConsumerNotFound)
}

// finish ends consuming. Draining hands over what nats.go has buffered, so that it can be given back at once instead of
// after AckWait; without a connection there is nobody to give it back to.
func (s *subscription) finish(running jetstream.ConsumeContext) {
	if s.owner.bus.nc.Status() != nats.CONNECTED {
		running.Stop()
	}
	running.Drain()
	timeout := time.NewTimer(drainTimeout)
	defer timeout.Stop()
	select {
	case <-running.Closed():
	case <-timeout.C:
	}
}

// arrived is called by nats.go, one message after the other. It blocks while Window messages wait for a handler.
func (s *subscription) arrived(m jetstream.Msg) {
	select {
	case s.arrivals <- m:
	case <-s.stop.Done():
		s.giveBack(m)
	}
}

// giveBack lets the server deliver the message again at once, to somebody else if there is anybody.
func (s *subscription) giveBack(m jetstream.Msg) {
	if err := m.Nak(); err != nil {
		s.owner.bus.cfg.Log.WithError(err).Debug("message not given back; it is delivered again after its wait")
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
