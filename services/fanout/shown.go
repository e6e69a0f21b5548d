package fanout

import (
	"sync"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/gateways"
)

// maxShown is of how many events it is remembered what became of their notices.
const maxShown = 8192

// shownNotices remembers of the latest events that tabs were told of what became of their notices. Its methods are safe for concurrent use. Make it with newShownNotices.
type shownNotices struct {
	most int

	mu sync.Mutex
	// tallies: an event's id → how many tabs were told, and what they have answered.
	tallies map[string]*tally
	// ring holds the ids, the oldest at next once there are as many as may be.
	ring []string
	next int
	// from is the position after which every event is remembered that tabs were told of. upTo is that of the latest event whose tabs have been told, or wait among the masses.
	from, upTo uint64
}

// tally is of the event that lies at a position. An id is of its tenant alone: mixed is true once two tenants' tabs were told of one, and then the numbers are nobody's.
type tally struct {
	gateways.Shown
	tenant   string
	position uint64
	mixed    bool
}

func newShownNotices(most int) *shownNotices {
	return &shownNotices{most: most, tallies: map[string]*tally{}}
}

// start says that nothing is known of what lies up to a position, but for what was told meanwhile.
func (n *shownNotices) start(position uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.from, n.upTo = position, max(n.upTo, position)
}

// begin remembers an event from now on, because tabs are about to be told of it. Who comes back to a session that was ended by an event of which nothing is remembered any more doesn't
// bring it back: its numbers would be of one tab.
func (n *shownNotices) begin(event, tenant string, position uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t := n.tallies[event]; t != nil {
		t.position, t.mixed = position, t.mixed || t.tenant != tenant
		return
	}
	if len(n.ring) < n.most {
		n.ring = append(n.ring, event)
	} else {
		delete(n.tallies, n.ring[n.next])
		n.ring[n.next] = event
		n.next = (n.next + 1) % n.most
		n.from = n.upTo
	}
	n.tallies[event] = &tally{tenant: tenant, position: position}
}

// told counts a tab that is sent the notice of an event.
func (n *shownNotices) told(event string) { n.count(event, func(s *gateways.Shown) { s.Told++ }) }

// acked counts what a tab has done with it, and gone that it has left without.
func (n *shownNotices) acked(event string, outcome tab.Outcome) {
	n.count(event, func(s *gateways.Shown) {
		switch outcome {
		case tab.OutcomeSignedOut:
			s.SignedOut++
		case tab.OutcomeAlready:
			s.Already++
		case tab.OutcomeIgnored:
			s.Ignored++
		}
	})
}

func (n *shownNotices) gone(event string) { n.count(event, func(s *gateways.Shown) { s.Gone++ }) }

func (n *shownNotices) count(event string, add func(*gateways.Shown)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t := n.tallies[event]; t != nil {
		add(&t.Shown)
	}
}

// reached notes that the tabs of an event have been told, or that it waits among the masses. A position before is that of a ledger that was put back: what was remembered is of another.
func (n *shownNotices) reached(position uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if position < n.upTo {
		n.from = position - 1
	}
	n.upTo = position
}

// forget says that tabs are told of what lies up to now in a way that isn't counted.
func (n *shownNotices) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.from = n.upTo
}

// of returns what became of the notice of an event. telling reports whether there are tabs that wait to be told of any; it is asked once it is known how far events have come:
//
//  1. nobody waits; 2. a mass comes, waits, and is what has been reached; 3. we look what was reached, and what was told: nothing.
func (n *shownNotices) of(event string, position uint64, telling func() bool) gateways.Shown {
	n.mu.Lock()
	upTo := n.upTo
	n.mu.Unlock()
	behind := position > upTo || telling()
	n.mu.Lock()
	defer n.mu.Unlock()
	s := gateways.Shown{}
	switch known := n.tallies[event]; {
	case known != nil && known.mixed:
		s.Forgotten = true
	case known != nil && known.position == position:
		s = known.Shown
		// An acknowledgement may be counted before what it is of.
		s.Told = max(s.Told, s.SignedOut+s.Already+s.Ignored+s.Gone)
	default:
		s.Forgotten = position <= n.from
	}
	s.Behind = !s.Forgotten && behind
	return s
}
