package replicas

import (
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events/presence"
)

// asker tells replicas that somebody waits. Of positions that come while one is being sent only the greatest is told: it lies in the ledger like the others, so that who has applied it
// has applied them, microseconds later than each of them by itself.
type asker struct {
	nc   *nats.Conn
	wake chan struct{}

	mu   sync.Mutex
	next presence.Await
}

func newAsker(nc *nats.Conn) *asker { return &asker{nc: nc, wake: make(chan struct{}, 1)} }

func (a *asker) ask(q presence.Await) {
	a.mu.Lock()
	if q.Stream != a.next.Stream || q.Position > a.next.Position {
		a.next = q
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default: // it will look anyway
	}
}

func (a *asker) run(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-a.wake:
		}
		a.mu.Lock()
		q := a.next
		a.next = presence.Await{}
		a.mu.Unlock()
		if data, err := presence.EncodeAwait(q); err == nil && a.nc.IsConnected() {
			_ = a.nc.Publish(presence.AwaitTopic, data) // who waits asks again
		}
	}
}
