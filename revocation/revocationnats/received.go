package revocationnats

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// received is a message of the ledger, decoded.
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

// receive reads messages until that breaks or ctx ends, and closes the channel. Decoding takes longer than applying, so it has a goroutine of its own:
// a replica without a snapshot decodes all there is before it can answer.
func (f *Feed) receive(ctx context.Context, messages jetstream.MessagesContext) <-chan received {
	to := make(chan received, readAhead)
	go func() {
		defer close(to)
		for broken := false; !broken; {
			m := f.next(messages)
			broken = m.broken != nil
			select {
			case to <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	return to
}

// nextOf waits for what is read next. Only if it must wait does it set a timer, which would cost as much as the rest.
func (f *Feed) nextOf(all <-chan received, quiet *time.Timer) received {
	select {
	case m := <-all:
		return m
	default:
	}
	quiet.Reset(f.cfg.BeatTimeout)
	select {
	case m := <-all:
		return m
	case <-quiet.C:
		return received{broken: fmt.Errorf("%w for %v", ErrQuiet, f.cfg.BeatTimeout)}
	}
}

func (f *Feed) next(messages jetstream.MessagesContext) received {
	msg, err := messages.Next()
	if err != nil {
		return received{broken: fmt.Errorf("follow stream %s: %w", f.cfg.Stream, err)}
	}
	meta, err := msg.Metadata()
	if err != nil {
		return received{broken: fmt.Errorf("metadata of a message: %w", err)}
	}
	m := read(msg.Subject(), msg.Data(), place{meta.Sequence.Stream, meta.Timestamp})
	m.number, m.pending = meta.Sequence.Consumer, meta.NumPending
	return m
}

// read decodes a message.
func read(topic string, data []byte, at place) received {
	if topic == events.TopicBeat {
		return received{at: at, beat: true}
	}
	e, err := decode(topic, data, at.stored)
	return received{at: at, event: e, err: err}
}

// decode returns the message's event, if it is one to apply. Publishers check the cutoff too; but whoever may write to the stream can leave
// that out, and no later event takes a cutoff back.
func decode(topic string, data []byte, stored time.Time) (events.Event, error) {
	e, err := events.DecodeMessage(topic, data)
	if err != nil {
		return nil, err
	}
	if cutoff, ok := events.Cutoff(e); ok && cutoff.After(stored.Add(MaxCutoffAhead)) {
		return nil, fmt.Errorf("%w: %v after the event was stored, more than %v",
			revocation.ErrCutoffInFuture, cutoff.Sub(stored).Round(time.Second), MaxCutoffAhead)
	}
	return e, nil
}
