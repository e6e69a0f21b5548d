package revocationnats

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
)

const (
	// askTimeout is how long an answer is waited for, in all.
	askTimeout = 2 * time.Second
	// askAgain is how long an answer is waited for before somebody else is asked the same.
	askAgain = 200 * time.Millisecond
)

// insist asks, and asks again each askAgain without giving the earlier ones up, until one is answered or askTimeout is over. While a cluster has no
// leader, nobody answers and nobody will: a request that is sent then is lost, and whoever waits for it hears of the new leader only when it has
// given up. A shorter timeout alone would never hear from servers that are slow.
//
// ask must return soon after its ctx has ended, and is called by several goroutines at once. All have returned when insist does.
func insist[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	answers := make(chan answer, askTimeout/askAgain+1) // room for each, so that none waits
	another := func() {
		asking.Go(func() {
			value, err := ask(ctx)
			answers <- answer{value, err}
		})
	}
	another()
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	var last answer
	for {
		select {
		case last = <-answers:
			if last.err == nil || final(last.err) {
				return last.value, last.err
			}
		case <-tick.C:
			another()
		case <-ctx.Done():
			if last.err == nil {
				last.err = context.Cause(ctx)
			}
			return last.value, last.err
		}
	}
}

// final reports whether an error is an answer that asking again won't change.
func final(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, ErrNoStream) || errors.Is(err, revocation.ErrRetention)
}
