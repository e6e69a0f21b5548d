package revocationnats

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// bridge returns a consumer for what comes after d's position. If that takes a while, it delivers meanwhile what it asks the stream's leader for,
// message by message.
//
// A stream's leader isn't the one who makes consumers. When a server is lost that did both, the stream may be led again, and events be
// acknowledged, for seconds before anybody answers a request for a consumer.
func (f *Feed) bridge(ctx context.Context, d *delivery) (jetstream.Consumer, error) {
	type made struct {
		cons jetstream.Consumer
		err  error
	}
	making := make(chan made, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	after := d.position
	go func() {
		cons, err := f.consume(ctx, after)
		making <- made{cons, err}
	}()
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for {
		select {
		case m := <-making:
			return m.cons, m.err
		case <-tick.C:
		}
		for more := true; more && len(making) == 0; {
			var err error
			if more, err = f.ferry(ctx, d); err != nil {
				cancel()
				if m := <-making; m.err == nil {
					f.deleteConsumer(m.cons.CachedInfo().Name)
				}
				return nil, err
			}
		}
	}
}

// ferry delivers the one message that the leader has after d's position, and reports whether there was one. Its error is that the stream was
// replaced. If the leader doesn't answer, there is a consumer to wait for.
//
// The message must belong to the incarnation that Begin was told of, which it doesn't tell: so the leader is asked once it has come. That it is only
// one, to be found at its place when the next is asked for, is what the order rests on:
//
//  1. we ask for 7; 2. the stream is put back to 6, and another event is stored at 7; 3. we ask for 8: nobody would miss the new 7.
func (f *Feed) ferry(ctx context.Context, d *delivery) (delivered bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	m, err := storedMessage(ctx, f.js, f.cfg.Stream, map[string]any{"seq": d.position + 1, "next_by_subj": ">"})
	if err != nil || m.Position == 0 {
		return false, nil
	}
	now, err := f.readOnce(ctx, ctx)
	switch {
	case err != nil:
		return false, nil
	case now.head.Stream != d.head.Stream || now.upTo < d.position:
		return false, ErrReplaced
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock = now.clock
	d.ferried = m.Position
	message := received{at: place{m.Position, m.Time}}
	message.decode(m.Topic, m.Data)
	d.deliver(message)
	return true, nil
}
