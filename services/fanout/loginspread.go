package fanout

import (
	"time"

	"github.com/curfewhq/curfew/events/tab"
)

const (
	// slotWidth is how far apart the parts of a window are at least, and maxSlots how many there are at most: each has a notice of its own, which its conns share.
	slotWidth = 100 * time.Millisecond
	maxSlots  = 512
)

// loginSpread sends the tabs that one event ends to the sign-in page one after the other: each is told how long to wait, in even steps over a window. They are signed out at once all the same. The
// zero value makes nobody wait. It isn't safe for concurrent use.
type loginSpread struct {
	slots []slot
	// tabs is how many there are, and told how many of them have been given a slot.
	tabs, told int
}

// slot is a part of the window.
type slot struct {
	after  int64 // in milliseconds
	notice notice
}

// newLoginSpread returns what spreads so many tabs over a window; 0 is none.
func newLoginSpread(l tab.Logout, window time.Duration, tabs int) loginSpread {
	if window <= 0 {
		return loginSpread{}
	}
	s := loginSpread{slots: make([]slot, min(max(int(window/slotWidth), 1), maxSlots)), tabs: tabs}
	for i := range s.slots {
		l.LoginAfterMS = (window * time.Duration(i) / time.Duration(len(s.slots))).Milliseconds()
		s.slots[i] = slot{after: l.LoginAfterMS, notice: encode(l)}
	}
	return s
}

// next returns the slot of the next tab. Tabs beyond those that were counted are in the last.
func (s *loginSpread) next() slot {
	if len(s.slots) == 0 {
		return slot{}
	}
	i := min(s.told*len(s.slots)/max(s.tabs, 1), len(s.slots)-1)
	s.told++
	return s.slots[i]
}
