package gateways

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/bus"
)

// maxAcks is how many acknowledgements are told in one message.
const maxAcks = 512

// Ack is what a tab did with a notice. It names neither session nor user: the event does, to those who may know.
type Ack struct {
	// Gateway is the id of the one whose tab it is.
	Gateway string `json:"-"`
	Tenant  string `json:"tenant"`
	// Event is the id of the event whose notice it was.
	Event   string      `json:"event"`
	Outcome tab.Outcome `json:"outcome"`
	// At is when it came, by the gateway's clock.
	At time.Time `json:"at"`
	// Conn numbers the conns of a gateway from 1, so that two tabs can be told from one that was heard twice.
	Conn uint64 `json:"conn"`
}

// gathering holds acknowledgements until they are told. Its methods are safe for concurrent use.
type gathering struct {
	// wake has a token when there are some, and full when there are enough for a message.
	wake, full chan struct{}
	most       int

	mu      sync.Mutex
	waiting []Ack
	// telling counts those that run has taken and that aren't told yet: they still take up room.
	telling int
	closed  bool
}

func newGathering(most int) *gathering {
	return &gathering{wake: make(chan struct{}, 1), full: make(chan struct{}, 1), most: most}
}

// add reports whether there was room.
func (g *gathering) add(a Ack) bool {
	g.mu.Lock()
	if g.closed || len(g.waiting)+g.telling >= g.most {
		g.mu.Unlock()
		return false
	}
	g.waiting = append(g.waiting, a)
	n := len(g.waiting)
	g.mu.Unlock()
	if n == 1 {
		signal(g.wake)
	}
	if n == maxAcks {
		signal(g.full)
	}
	return true
}

// signal leaves a token, if there is none.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take returns all that wait, and takes room for those that come in the meantime. last lets no more come.
func (g *gathering) take(room []Ack, last bool) []Ack {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.waiting
	g.waiting, g.telling, g.closed = room, len(list), last
	return list
}

// told gives the room of n back.
func (g *gathering) told(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.telling -= n
}

// run tells what is gathered until ctx ends, and then once more. tell returns how many are done with, and run how many it couldn't tell.
func (g *gathering) run(ctx context.Context, delay time.Duration, tell func([]Ack) (int, error)) (left int) {
	var room []Ack
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-g.wake:
			g.wait(ctx, delay)
		}
		list := g.take(room, false)
		rest := g.tell(list, tell)
		for len(rest) > 0 && ctx.Err() == nil {
			// There is no connection. What waits is told when there is one, as far as there is room.
			g.pause(ctx)
			rest = g.tell(rest, tell)
		}
		left += len(rest)
		// Of a storm no memory is kept.
		room = nil
		if cap(list) <= maxAcks {
			clear(list)
			room = list[:0]
		}
	}
	return left + len(g.tell(g.take(nil, true), tell))
}

// wait waits for the delay, or until there are enough for a message.
func (g *gathering) wait(ctx context.Context, delay time.Duration) {
	if delay <= 0 {
		return
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-g.full:
	}
}

func (g *gathering) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(untold/4 + rand.N(untold/4)):
	}
}

// tell tells the list in parts, and returns what it couldn't.
func (g *gathering) tell(list []Ack, tell func([]Ack) (int, error)) []Ack {
	for len(list) > 0 {
		done, err := tell(list[:min(len(list), maxAcks)])
		g.told(done)
		list = list[done:]
		if err != nil {
			break
		}
	}
	return list
}

// tellAcks publishes acknowledgements, and returns how many are done with.
func (g *Gateway) tellAcks(list []Ack) (done int, err error) {
	done, unfit, err := batches(g.id, "acks", list, limitOf(g.nc), func(data []byte) error { return g.nc.Publish(bus.LiveAcksTopic, data) })
	g.counts.acks.Add(uint64(done - unfit))
	g.counts.acksDropped.Add(uint64(unfit))
	return done, err
}
