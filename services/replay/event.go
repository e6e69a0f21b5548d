package replay

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
)

// idSlack is how much later than it was stored an event's id may have been made, by clocks that differ.
const idSlack = time.Minute

// handleEvent answers with one event. Of the events with an id, which are an event and its replays, it is the first.
func (s *Service) handleEvent(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	f, fault := parseFilter(key, r.URL.RawQuery, false)
	if fault != nil {
		s.refuse(w, *fault)
		return
	}
	wanted := r.PathValue("event")
	found, fault, err := s.find(r.Context(), f, wanted)
	switch {
	case fault != nil:
		s.refuse(w, *fault)
	case err != nil:
		s.unreadable(w, r, err)
	case found == nil:
		s.answer(w, eventUnknown())
	default:
		s.tell(w, recordOf(*found))
	}
}

func eventUnknown() problem.Problem {
	return problem.New(http.StatusNotFound, "event_unknown",
		"The ledger holds no such event of this tenant: it may have expired, be another tenant's, or a beat lies there. 'curfew events ls' lists those that there are.")
}

// find returns the event of an id or a position that a filter lets through; nil for none. A fault is the caller's.
func (s *Service) find(ctx context.Context, f *filter, wanted string) (found *ledger.Entry, fault *problem.Fault, err error) {
	match := func(ledger.Entry) bool { return true }
	if position, err := strconv.ParseUint(wanted, 10, 63); err == nil && position > 0 {
		f.span.After, f.span.Before = position-1, position+1
	} else if id, err := uuid.Parse(wanted); err == nil && id.Version() == 7 && id.String() == wanted {
		f.span.Since = time.Unix(id.Time().UnixTime()).Add(-idSlack)
		match = func(entry ledger.Entry) bool { return entry.Event.Meta().ID == wanted }
	} else {
		return nil, &problem.Fault{Field: "event", Detail: "must be an event's id, a UUIDv7 in lower case, or its position, a number above 0"}, nil
	}
	err = s.cfg.Ledger.Read(ctx, f.span, func(entry ledger.Entry) error {
		if entry.Event == nil || !f.match(entry.Event) || !match(entry) {
			return nil
		}
		found = &entry
		return ledger.ErrStop
	}, nil)
	return found, nil, err
}

// Stats counts the events of a range.
type Stats struct {
	Events uint64 `json:"events"`
	// Replayed is how many of them are copies that a replay has stored.
	Replayed uint64 `json:"replayed"`
	// First and Last are the positions of the first and the last; left out where there is none.
	First uint64 `json:"first,omitempty"`
	Last  uint64 `json:"last,omitempty"`
	// FirstStored and LastStored are when those were stored.
	FirstStored time.Time                       `json:"first_stored,omitzero"`
	LastStored  time.Time                       `json:"last_stored,omitzero"`
	Scopes      map[events.Kind]uint64          `json:"scopes"`
	Reasons     map[events.Reason]uint64        `json:"reasons"`
	Initiators  map[events.InitiatorType]uint64 `json:"initiators"`
	Tenants     map[string]uint64               `json:"tenants"`
	// Unreadable is how many messages hold no event that this version knows.
	Unreadable uint64 `json:"unreadable"`
}

func (c *Stats) count(entry ledger.Entry) {
	m := entry.Event.Meta()
	c.Events++
	if m.Replay != "" {
		c.Replayed++
	}
	if c.First == 0 {
		c.First, c.FirstStored = entry.Position, entry.Stored.UTC()
	}
	c.Last, c.LastStored = entry.Position, entry.Stored.UTC()
	c.Scopes[entry.Event.Kind()]++
	c.Reasons[m.Reason]++
	c.Initiators[m.Initiator.Type]++
	c.Tenants[m.Tenant]++
}

func (s *Service) handleStats(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	f, fault := parseFilter(key, r.URL.RawQuery, false)
	if fault != nil {
		s.refuse(w, *fault)
		return
	}
	stats := Stats{Scopes: map[events.Kind]uint64{}, Reasons: map[events.Reason]uint64{}, Initiators: map[events.InitiatorType]uint64{}, Tenants: map[string]uint64{}}
	err := s.cfg.Ledger.Read(r.Context(), f.span, func(entry ledger.Entry) error {
		switch {
		case entry.Event == nil:
			stats.Unreadable++
		case f.match(entry.Event):
			stats.count(entry)
		}
		return nil
	}, nil)
	if err != nil {
		s.unreadable(w, r, err)
		return
	}
	s.tell(w, stats)
}
