package revocationnats

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// delivery is the state of one consumer's delivery.
type delivery struct {
	feed *Feed
	head revocation.Head
	// count is how many messages the consumer has delivered. Only the delivering goroutine touches it.
	count uint64
	// tail takes a token when the consumer has nothing pending before the head is reached: somebody must ask what that means.
	tail chan struct{}
	// doubt takes a token when a beat lies ahead by the clock: somebody must ask the leader for its time.
	doubt chan struct{}

	// mu guards what follows, and serialises the calls of sink: a sink takes one call at a time, and two goroutines make them.
	mu   sync.Mutex
	sink revocation.Sink
	// clock is set anew by watch.
	clock clock
	// position is that of the last message.
	position uint64
	// ferried is that of the last message that came before there was a consumer, which begins before it.
	ferried uint64
}

func newDelivery(f *Feed, sink revocation.Sink, after uint64, r reading) *delivery {
	return &delivery{feed: f, sink: sink, position: after, head: r.head, clock: r.clock, tail: make(chan struct{}, 1), doubt: make(chan struct{}, 1)}
}

func (d *delivery) setClock(c clock) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock = c
}

// take delivers what the consumer has delivered.
func (d *delivery) take(m received) error {
	d.count++
	if m.number != d.count {
		return fmt.Errorf("%w after %d messages", ErrGap, d.count-1)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if m.at.position > d.ferried {
		d.deliver(m)
	}
	d.drained(m.pending)
	return nil
}

// deliver delivers a message. mu is held.
func (d *delivery) deliver(m received) {
	d.position = m.at.position
	at := revocation.Place{Position: m.at.position, Stored: m.at.stored, AsOf: d.clock.asOf(m.at.stored)}
	switch {
	case m.beat && ahead(at.AsOf, time.Now()):
		// It proves something of a time that we don't know.
		d.sink.Reach(at.Position)
		select {
		case d.doubt <- struct{}{}:
		default:
		}
	case m.beat:
		d.sink.Beat(at)
	case m.err != nil:
		d.sink.Skip(at, m.err)
	default:
		d.sink.Event(at, m.event)
	}
	d.feed.delivered(d.head.Stream, m.at, m.beat)
}

// drained asks about the tail of the stream if the consumer has nothing pending. mu is held.
func (d *delivery) drained(pending uint64) {
	if pending > 0 || d.position >= d.head.Last {
		return
	}
	select {
	case d.tail <- struct{}{}:
	default:
	}
}

// reach tells the sink that nothing more comes up to the head, if the stream's leader says so. An error is for another time: a beat, which
// lies beyond the head, tells the same.
func (d *delivery) reach(ctx context.Context, f *Feed) error {
	d.mu.Lock()
	position := d.position
	d.mu.Unlock()
	if position >= d.head.Last {
		return nil
	}
	gone, err := f.gone(ctx, position, d.head.Last)
	if err != nil || !gone || ctx.Err() != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// What came meanwhile lies beyond the head.
	if d.position < d.head.Last {
		d.position = d.head.Last
		d.sink.Reach(d.head.Last)
	}
	return nil
}
