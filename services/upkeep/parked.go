package upkeep

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
)

// Parked is a poison message. It tells nothing of what it holds.
type Parked struct {
	// Position is its place among the parked ones, by which the other calls name it.
	Position uint64    `json:"position"`
	Parked   time.Time `json:"parked"`
	Reason   string    `json:"reason"`
	// Topic, Stream and FromPosition are where it came from; left out if it doesn't tell.
	Topic        string `json:"topic,omitempty"`
	Stream       string `json:"stream,omitempty"`
	FromPosition uint64 `json:"from_position,omitempty"`
	// Consumer couldn't deal with it.
	Consumer   string `json:"consumer,omitempty"`
	Deliveries uint64 `json:"deliveries,omitempty"`
	Bytes      int    `json:"bytes"`
}

// ParkedList is a page of parked messages. NextAfter is where the next begins; zero on the last.
type ParkedList struct {
	Parked    []Parked `json:"parked"`
	NextAfter uint64   `json:"next_after,omitempty"`
}

// ParkedMessage is a parked message with what it holds: the event, if it is one, else the beginning of its bytes, as a Go string literal in ASCII.
type ParkedMessage struct {
	Parked
	Event  json.RawMessage `json:"event,omitempty"`
	Begins string          `json:"begins,omitempty"`
}

// Retried says where a message was put back to. Duplicate is true if an earlier try had stored it already.
type Retried struct {
	Position  uint64 `json:"position"`
	Stream    string `json:"stream"`
	Stored    uint64 `json:"stored_position"`
	Duplicate bool   `json:"duplicate"`
}

// Dropped is the position of a message that was dropped.
type Dropped struct {
	Position uint64 `json:"position"`
}

const (
	defaultParked, maxParked = 100, 1000
	// beginning is how much of a message is shown that is no event.
	beginning = 256
)

func parkedOf(p bus.Parked) Parked {
	return Parked{
		Position: p.Position, Parked: p.Stored, Reason: p.Reason, Topic: p.Topic, Stream: p.Stream, FromPosition: p.From, Consumer: p.Consumer, Deliveries: p.Deliveries, Bytes: p.Bytes,
	}
}

func (s *Service) handleParked(w http.ResponseWriter, r *http.Request) {
	query, ok := s.query(w, r, "after", "limit")
	if !ok {
		return
	}
	after, limit, err := uint64(0), defaultParked, error(nil)
	if query.Has("after") {
		if after, err = strconv.ParseUint(query.Get("after"), 10, 63); err != nil {
			s.refuse(w, "after", "must be a position")
			return
		}
	}
	if query.Has("limit") {
		if limit, err = strconv.Atoi(query.Get("limit")); err != nil || limit < 1 || limit > maxParked {
			s.refuse(w, "limit", "must be 1 to 1000")
			return
		}
	}
	list := ParkedList{Parked: []Parked{}}
	err = s.cfg.Bus.ListParked(r.Context(), after, func(p bus.Parked) bool {
		if len(list.Parked) == limit {
			list.NextAfter = list.Parked[limit-1].Position
			return false
		}
		list.Parked = append(list.Parked, parkedOf(p))
		return true
	})
	if err != nil {
		s.parkedFault(w, r, err)
		return
	}
	problem.JSON(w, http.StatusOK, list)
}

// parkedAt returns the message whose position a call names, or answers the request itself.
func (s *Service) parkedAt(w http.ResponseWriter, r *http.Request) (bus.Parked, bool) {
	if _, ok := s.query(w, r); !ok {
		return bus.Parked{}, false
	}
	position, err := strconv.ParseUint(r.PathValue("position"), 10, 63)
	if err != nil || position == 0 {
		s.refuse(w, "position", "must be that of a parked message, a number above 0: 'curfew parked ls' lists them")
		return bus.Parked{}, false
	}
	p, err := s.cfg.Bus.ParkedAt(r.Context(), position)
	if err != nil {
		s.parkedFault(w, r, err)
	}
	return p, err == nil
}

func (s *Service) handleParkedOne(w http.ResponseWriter, r *http.Request) {
	p, ok := s.parkedAt(w, r)
	if !ok {
		return
	}
	out := ParkedMessage{Parked: parkedOf(p)}
	if _, err := events.Decode(p.Payload); err == nil {
		out.Event = p.Payload
	} else if len(p.Payload) > 0 {
		out.Begins = strconv.QuoteToASCII(string(p.Payload[:min(len(p.Payload), beginning)]))
	}
	problem.JSON(w, http.StatusOK, out)
}

// harm tells why a message of the ledger must not be stored there once more; empty if it may.
func harm(p bus.Parked) string {
	if p.Stream != bus.LedgerStream {
		return ""
	}
	e, err := events.Decode(p.Payload)
	var newer *events.UnsupportedError
	if errors.As(err, &newer) {
		return "It is an event of a type or version that this process doesn't know, and can't mark as replayed, so that browsers would be told of an old logout. Put it back with the Curfew that knows it, or drop it: the ledger has it."
	}
	if err != nil {
		return "" // no event, and nobody takes it for one
	}
	// It was stored before it was parked, by the same clock.
	if revocation.CutoffInFuture(e, p.Stored) {
		return fmt.Sprintf("Its cutoff lies more than %v after it was parked, which no replica believed. Stored once more it might be believed, and end sessions that nobody meant. Look at it with 'curfew parked show', and drop it.", revocation.MaxCutoffAhead)
	}
	return ""
}

func (s *Service) handleRetry(w http.ResponseWriter, r *http.Request) {
	p, ok := s.parkedAt(w, r)
	if !ok {
		return
	}
	if detail := harm(p); detail != "" {
		s.answer(w, problem.New(http.StatusConflict, "parked_no_way_back", detail))
		return
	}
	ack, err := s.cfg.Bus.RetryParked(r.Context(), p.Position)
	if err != nil {
		s.parkedFault(w, r, err)
		return
	}
	s.audit(r, p.Position).WithField("stored_position", ack.Position).Info("a parked message was put back")
	problem.JSON(w, http.StatusOK, Retried{Position: p.Position, Stream: ack.Stream, Stored: ack.Position, Duplicate: ack.Duplicate})
}

func (s *Service) handleDrop(w http.ResponseWriter, r *http.Request) {
	p, ok := s.parkedAt(w, r)
	if !ok {
		return
	}
	if err := s.cfg.Bus.DropParked(r.Context(), p.Position); err != nil {
		s.parkedFault(w, r, err)
		return
	}
	s.audit(r, p.Position).WithField("consumer", p.Consumer).WithField("stream", p.Stream).WithField("from_position", p.From).Warn("a parked message was dropped for good")
	problem.JSON(w, http.StatusOK, Dropped{p.Position})
}
