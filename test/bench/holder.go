package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// kind is a flag: what holds the revocations.
type kind string

func (k *kind) String() string { return string(*k) }

func (k *kind) Set(s string) error {
	if s != "curfew" && s != "rwmutex-map" {
		return fmt.Errorf("%q is neither curfew nor rwmutex-map", s)
	}
	*k = kind(s)
	return nil
}

func (k *kind) bind(flags *flag.FlagSet) {
	*k = "curfew"
	flags.Var(k, "set", "what holds them: curfew, a whole replica, or rwmutex-map, maps under a lock")
}

// holder holds revocations.
type holder struct {
	// write adds n more, which next makes, at the end of the stream.
	write func(n int, next func() (events.Event, error)) error
	// close ends it. The revocations are held until then.
	close func()
}

// hold fills a holder of that kind.
func (k kind) hold(ctx context.Context, r revocations) (*holder, error) {
	if k == "rwmutex-map" {
		return holdNaive(r), nil
	}
	f := newFeed(r)
	replica, err := revocation.Open(ctx, revocation.Config{Feed: f})
	if err != nil {
		return nil, err
	}
	if s := replica.Status(); s.Sessions+s.Cutoffs != int(r.n) {
		_ = replica.Close()
		return nil, fmt.Errorf("the replica holds %d sessions and %d cutoffs, want %d in all", s.Sessions, s.Cutoffs, int(r.n))
	}
	position := uint64(r.n) + 1<<20 // beyond the beats
	write := func(n int, next func() (events.Event, error)) error {
		failed := make(chan error, 1)
		f.more <- func(sink revocation.Sink) {
			for range n {
				e, err := next()
				if err != nil {
					failed <- err
					return
				}
				position++
				now := time.Now()
				sink.Event(revocation.Place{Position: position, Stored: now, AsOf: now}, e)
			}
			failed <- nil
		}
		return <-failed
	}
	return &holder{write, func() { _ = replica.Close() }}, nil
}

func holdNaive(r revocations) *holder {
	held := newNaive()
	for i := range int(r.n) {
		held.apply(r.event(i))
	}
	write := func(n int, next func() (events.Event, error)) error {
		for range n {
			e, err := next()
			if err != nil {
				return err
			}
			held.apply(e)
		}
		return nil
	}
	return &holder{write, func() { runtime.KeepAlive(held) }}
}
