package main

import (
	"context"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// beatInterval is the feed's, and that of a ledger by default.
const beatInterval = time.Second

// feed is a stream that holds made-up revocations, one at each position, and then beats. It is followed by one replica, once.
type feed struct {
	revocations
	// restored is how long Begin took, which loads a snapshot if there is one. It is there for whoever has seen Open return.
	restored time.Duration
	// more takes what else to deliver, in the order of the stream.
	more chan func(revocation.Sink)
}

var _ revocation.Feed = (*feed)(nil)

func newFeed(r revocations) *feed {
	return &feed{revocations: r, more: make(chan func(revocation.Sink))}
}

// Follow implements [revocation.Feed].
func (f *feed) Follow(ctx context.Context, sink revocation.Sink) error {
	last := uint64(f.n)
	began := time.Now()
	after, err := sink.Begin(revocation.Head{
		Stream: "bench@1", First: 1, Last: last, HashKey: [16]byte{1},
		Holds: func(p revocation.Place) (bool, error) { return p.Position == last, nil },
	})
	if err != nil {
		return err
	}
	f.restored = time.Since(began)
	f.deliver(sink, after)
	tick := time.NewTicker(beatInterval)
	defer tick.Stop()
	for {
		last++
		now := time.Now()
		sink.Beat(revocation.Place{Position: last, Stored: now, AsOf: now})
		for beat := false; !beat; {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case deliver := <-f.more:
				deliver(sink)
			case <-tick.C:
				beat = true
			}
		}
	}
}

// deliver delivers what lies after a position.
func (f *feed) deliver(sink revocation.Sink, after uint64) {
	for i := int(after); i < int(f.n); i++ {
		at := f.at(i)
		sink.Event(revocation.Place{Position: uint64(i) + 1, Stored: at, AsOf: at}, f.event(i))
	}
}
