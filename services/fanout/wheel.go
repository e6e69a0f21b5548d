package fanout

import (
	"math/bits"
	"sync"
)

const (
	// slotMS is how long a slot of the wheel is. Conns that are due in one slot are looked after in one go, and what is to be told meanwhile waits for as long.
	slotMS = 10
	// never is how long to wait when no conn is due at all, in milliseconds: who comes first says so.
	never = 60 * 60 * 1000
)

// wheel holds conns by when they are to be looked after, so that none needs a timer of its own, and nobody has to look at all of them. Times are those of the
// service's clock, in milliseconds. Make it with newWheel. It is safe for concurrent use.
type wheel struct {
	// sooner has a token when a conn is due before the time that next has told.
	sooner chan struct{}

	mu sync.Mutex
	// slots: slot modulo their number → the first of its conns. busy has a bit for each slot that has any.
	slots []*conn
	busy  []uint64
	// turned is the last slot whose conns were taken; awaited is the slot that next has told.
	turned, awaited int64
}

// spoke is a conn's place in the wheel, whose lock guards it.
type spoke struct {
	prev, next *conn
	slot       int64
	there      bool
	// gone is whether the conn has left for good.
	gone bool
}

// newWheel returns a wheel for conns that are due within most from when they are put in. Those that are due later are taken out after that time.
func newWheel(most int64) *wheel {
	words := (most/slotMS + 2 + 63) / 64
	return &wheel{sooner: make(chan struct{}, 1), slots: make([]*conn, 64*words), busy: make([]uint64, words), turned: -1}
}

// put has a conn taken at due, or at once if that has passed. One that is there already is moved, and one that has left isn't put in.
func (w *wheel) put(c *conn, due int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.spoke.gone {
		return
	}
	w.takeLocked(c)
	// Rounded up: who is taken early would have to be put in again.
	slot := (due + slotMS - 1) / slotMS
	slot = min(max(slot, w.turned+1), w.turned+int64(len(w.slots)))
	at := w.at(slot)
	c.spoke = spoke{next: w.slots[at], slot: slot, there: true}
	if first := w.slots[at]; first != nil {
		first.spoke.prev = c
	}
	w.slots[at] = c
	w.busy[at/64] |= 1 << (at % 64)
	if slot < w.awaited {
		w.awaited = slot
		select {
		case w.sooner <- struct{}{}:
		default: // it has been said
		}
	}
}

// leave takes a conn out for good. It may be being looked after just now, and isn't put in afterwards.
func (w *wheel) leave(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.takeLocked(c)
	c.spoke.gone = true
}

func (w *wheel) takeLocked(c *conn) {
	if !c.spoke.there {
		return
	}
	at, s := w.at(c.spoke.slot), c.spoke
	c.spoke = spoke{}
	if s.next != nil {
		s.next.spoke.prev = s.prev
	}
	if s.prev != nil {
		s.prev.spoke.next = s.next
		return
	}
	if w.slots[at] = s.next; s.next == nil {
		w.busy[at/64] &^= 1 << (at % 64)
	}
}

// due takes the conns out that are due by now.
func (w *wheel) due(now int64) []*conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	var due []*conn
	last := now / slotMS
	// Once around is all there is, however long ago it was turned.
	for slot := max(w.turned+1, last-int64(len(w.slots))+1); slot <= last; slot++ {
		for c := w.slots[w.at(slot)]; c != nil; c = w.slots[w.at(slot)] {
			w.takeLocked(c)
			due = append(due, c)
		}
	}
	w.turned = max(w.turned, last)
	return due
}

// next returns for how long from now no conn is due, in milliseconds. If that becomes less, sooner tells.
func (w *wheel) next(now int64) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	from := w.at(w.turned + 1)
	for i := range int64(len(w.busy)) + 1 {
		word := (from/64 + i) % int64(len(w.busy))
		busy := w.busy[word]
		if i == 0 {
			busy &= ^uint64(0) << (from % 64)
		}
		if busy != 0 {
			at := word*64 + int64(bits.TrailingZeros64(busy))
			ahead := (at - from + int64(len(w.slots))) % int64(len(w.slots))
			w.awaited = w.turned + 1 + ahead
			return max(w.awaited*slotMS-now, 0)
		}
	}
	w.awaited = (now + never) / slotMS
	return never
}

func (w *wheel) at(slot int64) int64 { return slot % int64(len(w.slots)) }
