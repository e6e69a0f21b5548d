package revocationnats

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// received is a message of the ledger.
type received struct {
	at   place
	beat bool
	// event is nil for a beat, and for what can't be applied, whose cause is err.
	event events.Event
	err   error
	// raw is the message, until it is decoded.
	raw jetstream.Msg
	// number counts what the consumer delivered, and pending what it had yet to deliver. Only what a consumer delivered has them.
	number, pending uint64
	// broken is why no more can be read; then there is nothing else.
	broken error
}

// readAhead is how many messages are read while one is decoded, and decoded while one is applied.
const readAhead = 256

// receive reads messages until that breaks or ctx ends, and closes the channel. Reading, decoding and applying take about as long as each other, so each
// has a goroutine of its own: a replica without a snapshot reads all there is before it can answer.
func (f *Feed) receive(ctx context.Context, messages jetstream.MessagesContext) <-chan received {
	read, decoded := make(chan received, readAhead), make(chan received, readAhead)
	pass := func(m received, to chan<- received) (more bool) {
		select {
		case to <- m:
			return m.broken == nil
		case <-ctx.Done():
			return false
		}
	}
	go func() {
		defer close(read)
		for pass(f.next(messages), read) {
		}
	}()
	go func() {
		defer close(decoded)
		for m := range read {
			if m.raw != nil {
				m.decode(m.raw.Subject(), m.raw.Data())
				m.raw = nil
			}
			if !pass(m, decoded) {
				break
			}
		}
		for range read { //nolint:revive // until the other has ended
		}
	}()
	return decoded
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
	return received{
		at: place{meta.Sequence.Stream, meta.Timestamp}, raw: msg, number: meta.Sequence.Consumer, pending: meta.NumPending,
	}
}

// decode fills in what a message says.
func (m *received) decode(topic string, data []byte) {
	if m.beat = topic == events.TopicBeat; !m.beat {
		m.event, m.err = decode(topic, data, m.at.stored)
	}
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
