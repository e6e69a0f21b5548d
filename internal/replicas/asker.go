package replicas

import (
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events/presence"
)

// asker tells replicas that somebody waits: at once, and again now and then as long as anybody does. Of several positions only the greatest is told: it lies in the ledger like the others, so
// that who has applied it has applied them, microseconds later than each of them by itself.
type asker struct {
	nc   *nats.Conn
	wake chan struct{}
	// next returns what is waited for; ok is false if nothing is.
	next func() (q presence.Await, ok bool)
}

func newAsker(nc *nats.Conn, next func() (presence.Await, bool)) *asker {
	return &asker{nc: nc, wake: make(chan struct{}, 1), next: next}
}

func (a *asker) ask() {
	select {
	case a.wake <- struct{}{}:
	default: // it will look anyway
	}
}

func (a *asker) run(done <-chan struct{}) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-a.wake:
		case <-tick.C:
		}
		q, ok := a.next()
		if data, err := presence.EncodeAwait(q); ok && err == nil && a.nc.IsConnected() {
			_ = a.nc.Publish(presence.AwaitTopic, data) // who waits asks again
		}
	}
}
