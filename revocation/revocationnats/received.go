package revocationnats

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
)

// received is a message of the ledger.
type received struct {
	at   place
	beat bool
	// event is nil for a beat, and for what can't be applied, whose cause is err.
	event events.Event
	err   error
	// number counts what the consumer delivered, and pending what it had yet to deliver. Only what a consumer delivered has them.
	number, pending uint64
	// broken is why no more can be read; then there is nothing else.
	broken error
}

// readAhead is how many messages are decoded while one is applied.
const readAhead = 256

const (
	// pulled is how many messages are asked for at once; the next are when half of them have come. By four times the 500 that nats.go asks for, both sides
	// have a third less to do for each message.
	pulled = 2000
	// pulledBytes bounds how much of them comes at once. nats.go throws away what comes beyond 64 MiB before it is looked at.
	pulledBytes = 16 << 20
)

// receive sends to all what is delivered, decoded, until that breaks or ctx ends. Reading, decoding and applying each have a goroutine: a replica without a
// snapshot reads all there is before it can answer.
func (f *Feed) receive(ctx context.Context, cons jetstream.Consumer, all chan<- received) (jetstream.ConsumeContext, error) {
	pass := func(m received) {
		select {
		case all <- m:
		case <-ctx.Done():
		}
	}
	broken := jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		pass(received{broken: fmt.Errorf("follow stream %s: %w", f.cfg.Stream, err)})
	})
	// nats.go takes idle heartbeats of 0.5 s to 30 s, and at most half of a pull's 30 s. They only hasten: beats decide.
	heartbeat := min(max(f.cfg.BeatTimeout/2, 500*time.Millisecond), 15*time.Second)
	// A message that is larger than the bound would never come.
	most := max(pulledBytes, 2*f.js.Conn().MaxPayload())
	return cons.Consume(func(msg jetstream.Msg) { pass(receivedOf(msg)) }, broken,
		jetstream.PullMaxMessagesWithBytesLimit(pulled, int(most)), jetstream.PullHeartbeat(heartbeat))
}

// nextOf waits for what is received next, or for the end of ctx, when what it returns means nothing. Only if it must wait does it set a timer, which would cost
// as much as the rest.
func (f *Feed) nextOf(ctx context.Context, all <-chan received, quiet *time.Timer) received {
	select {
	case m := <-all:
		return m
	default:
	}
	quiet.Reset(f.cfg.BeatTimeout)
	select {
	case m := <-all:
		return m
	case <-ctx.Done():
		return received{}
	case <-quiet.C:
		return received{broken: fmt.Errorf("%w for %v", ErrQuiet, f.cfg.BeatTimeout)}
	}
}

func receivedOf(msg jetstream.Msg) received {
	meta, err := msg.Metadata()
	if err != nil {
		return received{broken: fmt.Errorf("metadata of a message: %w", err)}
	}
	m := received{at: place{meta.Sequence.Stream, meta.Timestamp}, number: meta.Sequence.Consumer, pending: meta.NumPending}
	m.decode(msg.Subject(), msg.Data())
	return m
}

// decode fills in what a message says.
func (m *received) decode(topic string, data []byte) {
	if m.beat = topic == events.TopicBeat; !m.beat {
		m.event, m.err = events.DecodeMessage(topic, data)
	}
}
