package replay

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/exposure"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/revocation"
)

// Exposure is which requests the sessions that an event ends got through between the decision and each process's application of it, and what of that can't be known.
type Exposure struct {
	Tenant string `json:"tenant"`
	Event  Fact   `json:"event"`
	// Since is when it was decided: the event's time, or when it was stored if that is earlier. Passes are told from then on.
	Since time.Time `json:"since"`
	// Sessions are those that were asked about.
	Sessions []string `json:"sessions"`
	// Count is how many requests all processes that have answered let through.
	Count     int              `json:"count"`
	Processes []ExposedProcess `json:"processes"`
	// SilentCount is how many processes are known to be there and haven't answered; Silent names each, to a key with the scope operator, those of the same name each by itself.
	SilentCount int      `json:"silent_count"`
	Silent      []string `json:"silent,omitempty"`
	// Unknown is what can't be known. It is never empty.
	Unknown []Unknown `json:"unknown"`
}

// ExposedProcess is what one process has told.
type ExposedProcess struct {
	// Name and Group are for people, and Group is left out for a key without the scope operator. Two processes may have both in common: one that has started in place of another, or beside it.
	Name  string `json:"name"`
	Group string `json:"group,omitempty"`
	// Records is whether it remembers what passes; if it doesn't, nothing of what follows is there but Applied.
	Records bool `json:"records"`
	// Applied is whether its replica has applied the event, and AppliedAt when; left out where that isn't known.
	Applied   bool      `json:"applied"`
	AppliedAt time.Time `json:"applied_at,omitzero"`
	// RecordsSince is since when it remembers at all, and WholeSince from when on it remembers every pass of the sessions.
	RecordsSince time.Time `json:"records_since,omitzero"`
	WholeSince   time.Time `json:"whole_since,omitzero"`
	// Whole is whether Passes are all that it let through: it has remembered since the decision, by its own clock, and has applied the event.
	Whole bool `json:"whole"`
	// ClockAheadMS bounds how far its clock was ahead of this server's when it was asked. All its times are by its own.
	ClockAheadMS *Span `json:"clock_ahead_ms,omitempty"`
	// Passes are the earliest, at most 200 for each hundred sessions; Count counts all.
	Passes []Pass `json:"passes"`
	Count  int    `json:"count"`
}

// Span is from Min to Max.
type Span struct {
	Min int64 `json:"min"`
	Max int64 `json:"max"`
}

// Pass is one request that was let through.
type Pass struct {
	Session string    `json:"session"`
	At      time.Time `json:"at"`
	Route   string    `json:"route,omitempty"`
	// Undetermined says that it passed by choice, though nobody could tell whether its session was over.
	Undetermined bool `json:"undetermined,omitempty"`
}

// maxExposed bounds the sessions of one answer.
const maxExposed = sessionstore.MaxListed

// exposureQuestion is what the call asks for.
type exposureQuestion struct {
	lookup
	event, session string
	patience       time.Duration
}

func (q *exposureQuestion) set(key access.Key, name, v string) string {
	switch name {
	case "tenant":
		q.tenant = v
		return tenantFault(key, v)
	case "event":
		q.event = v
	case "session":
		q.session = v
		return events.IDFault(v)
	case "timeout":
		var err error
		if q.patience, err = time.ParseDuration(v); err != nil || q.patience < 50*time.Millisecond || q.patience > 5*time.Second {
			return "must be a duration between 50ms and 5s"
		}
	default:
		return "isn't a parameter of this call: it knows tenant, event, session, timeout"
	}
	return ""
}

func (s *Service) handleExposure(w http.ResponseWriter, r *http.Request) {
	caller, _ := access.KeyFrom(r.Context())
	q := exposureQuestion{lookup: lookup{caller.Tenant, caller.Has(access.ScopeOperator)}, patience: replicas.DefaultPatience}
	_, fault := problem.ReadQuery(r.URL.RawQuery, func(name, v string) string { return q.set(caller, name, v) })
	var found *ledger.Entry
	var err error
	if fault == nil {
		f := &filter{tenant: q.tenant}
		f.span.Topics = []string{f.topics()}
		found, fault, err = s.find(r.Context(), f, q.event)
	}
	switch {
	case fault != nil:
		s.refuse(w, *fault)
		return
	case err != nil:
		s.unreadable(w, r, err)
		return
	case found == nil:
		s.answer(w, eventUnknown())
		return
	}
	out, err := s.exposure(r.Context(), q, *found)
	switch {
	case err != nil && r.Context().Err() == nil:
		s.cfg.Log.WithError(err).Warn("processes can't be asked what passed")
		s.answer(w, problem.Unavailable("replicas_unavailable", "The processes can't be asked: is NATS up? 'curfew doctor' tells.", time.Second))
	case err != nil:
		s.unreadable(w, r, err)
	default:
		if !q.everybodys {
			out.nameless()
		}
		s.tell(w, out)
	}
}

// exposure asks all processes about the sessions that an event ends.
func (s *Service) exposure(ctx context.Context, q exposureQuestion, entry ledger.Entry) (Exposure, error) {
	e := entry.Event
	forgotten := s.cfg.Limits.KeepsUntil(e, entry.Stored)
	fact := saidOf(entry, key{e.Kind(), e.Target()}, forgotten).fact
	out := Exposure{Tenant: e.Meta().Tenant, Event: fact, Since: fact.Time, Processes: []ExposedProcess{}}
	if fact.Stored.Before(out.Since) {
		out.Since = fact.Stored.Truncate(time.Millisecond)
	}
	var unsure bool
	out.Sessions, unsure = s.exposed(ctx, e, q.session)
	question := exposure.Question{Position: entry.Position, Event: e.Meta().ID, SinceMS: max(out.Since.UnixMilli(), 0), UntilMS: max(forgotten.UnixMilli(), out.Since.UnixMilli(), 0)}
	processes := map[string]*ExposedProcess{} // as replicas.ProcessOf tells them → what each has told
	for rest, first := out.Sessions, true; first || len(rest) > 0; first = false {
		question.Sessions = rest[:min(len(rest), exposure.MaxSessions)]
		rest = rest[len(question.Sessions):]
		waiting, cancel := context.WithTimeout(ctx, q.patience)
		answers, err := s.cfg.AskReplicas(waiting, replicas.Question{Tenant: out.Tenant, Exposure: &question})
		cancel()
		if err != nil {
			return out, err
		}
		heard := map[string]bool{}
		for _, a := range answers {
			id := replicas.ProcessOf(a)
			p, known := processes[id]
			if !known && !first {
				continue // it was silent before, and so it is
			}
			if !known {
				p = &ExposedProcess{Name: a.Name, Group: a.Group, Applied: a.Position >= entry.Position, Passes: []Pass{}}
				processes[id] = p
			}
			heard[id] = true
			p.hear(question, a, !known)
		}
		maps.DeleteFunc(processes, func(id string, _ *ExposedProcess) bool { return !heard[id] }) // half an answer is none
	}
	skipped := revocation.CutoffInFuture(e, entry.Stored)
	answered := map[string]bool{}
	for id, p := range processes {
		answered[id] = true
		if skipped {
			// Whoever stands behind it has read it, and applies it never.
			p.Applied, p.AppliedAt, p.Whole = false, time.Time{}, false
		}
		out.Count += p.Count
		out.Processes = append(out.Processes, *p)
	}
	slices.SortFunc(out.Processes, compareProcesses)
	registered := s.silent(ctx, q.patience, answered, &out)
	out.Unknown = unknown(out, registered, unsure)
	return out, nil
}

// hear takes what a process tells of some of the sessions.
func (p *ExposedProcess) hear(q exposure.Question, a replicas.Answer, first bool) {
	if a.Exposure == nil {
		return
	}
	x := *a.Exposure
	when := func(ms int64) time.Time {
		if ms == 0 {
			return time.Time{}
		}
		return time.UnixMilli(ms).UTC()
	}
	whole := x.Applied && x.WholeSinceMS <= q.SinceMS && x.BeganMS <= q.SinceMS
	p.Whole = whole && (first || p.Whole)
	p.Records, p.Applied, p.AppliedAt, p.RecordsSince = true, x.Applied, when(x.AppliedMS), when(x.BeganMS)
	if since := when(x.WholeSinceMS); since.After(p.WholeSince) {
		p.WholeSince = since
	}
	p.Count += x.Count
	p.ClockAheadMS = &Span{x.NowMS - a.Heard.UnixMilli() - 1, x.NowMS - a.Asked.UnixMilli() + 1}
	for _, pass := range x.Passes {
		if pass.Session >= 0 && pass.Session < len(q.Sessions) {
			p.Passes = append(p.Passes, Pass{Session: q.Sessions[pass.Session], At: when(pass.AtMS), Route: pass.Route, Undetermined: pass.Undetermined})
		}
	}
	slices.SortStableFunc(p.Passes, func(a, b Pass) int { return a.At.Compare(b.At) })
}

// exposed returns the sessions that an event ends, as far as it or the registry names them, and whether there may be others. With wanted it is about that one alone.
func (s *Service) exposed(ctx context.Context, e events.Event, wanted string) (sids []string, unsure bool) {
	if wanted != "" {
		return []string{wanted}, false
	}
	switch e := e.(type) {
	case *events.SessionRevoked:
		return []string{e.Session}, false
	case *events.UserLoggedOutEverywhere:
		sids = append([]string{}, e.KnownSessions...)
	default:
		sids = []string{}
	}
	if e.UserID() != "" {
		o := s.owned(ctx, pastQuestion{lookup: lookup{tenant: e.Meta().Tenant}, user: e.UserID()})
		for id, session := range o.sessions {
			if revocation.Ends(e, session) {
				sids = append(sids, id)
			}
		}
	}
	slices.Sort(sids)
	sids = slices.Compact(sids)
	return sids[:min(len(sids), maxExposed)], true
}
