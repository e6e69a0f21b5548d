package fanout

import (
	"context"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// eventPatience is how long the ledger has to answer for one event.
const eventPatience = 2 * time.Second

// Again reads the events at some positions of the ledger, and tells the tabs that they end and that haven't been told: an operator has asked for it. The events come
// from the ledger and whether a session is over from the replica, so
// that whoever can name positions can end nothing. It returns how many tabs were told, and is called by one goroutine at a time.
func (s *Service) Again(positions []uint64) (told int) {
	if s.cfg.EventAt == nil {
		return 0
	}
	for _, position := range positions {
		if s.ctx.Err() != nil {
			return told
		}
		told += s.again(position)
	}
	return told
}

func (s *Service) again(position uint64) (told int) {
	ctx, cancel := context.WithTimeout(s.ctx, eventPatience)
	defer cancel()
	event, err := s.cfg.EventAt(ctx, position)
	if err != nil {
		return 0 // it has expired meanwhile, or the ledger is away, which others tell
	}
	n := encode(logoutBy(event))
	for i, entry := range s.hub.Affected(event) {
		over := s.cfg.Replica.Check(entry.Session).State == revocation.Revoked && revocation.Ends(event, entry.Session)
		// Who isn't ready yet is being told by who admits it.
		if over && entry.Value.isReady() && s.show(entry.Value, n) {
			told++
		}
		if i%breath == breath-1 && s.ctx.Err() != nil {
			return told
		}
	}
	return told
}
