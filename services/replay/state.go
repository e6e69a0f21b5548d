package replay

import (
	"net/http"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/ledger"
)

// State is what was in force of a user or a tenant at a moment: what a replica held that had applied the ledger up to there.
type State struct {
	Tenant string `json:"tenant"`
	User   string `json:"user,omitempty"`
	// AsOf is the moment, and Position the last event of those asked for that was read, or where the moment lies.
	AsOf     time.Time `json:"as_of"`
	Position uint64    `json:"position"`
	// Registry is left out for a tenant; see RegistryAsked.
	Registry string `json:"registry,omitempty"`
	// InForce is one page. What ends most comes first: tenant, clients, devices, users, sessions, each by id.
	InForce []Fact `json:"in_force"`
	// Counts has how many there are of each scope, on all pages. Estimated says that those of more than 32,768 are estimates, with a standard error of 0.8 %.
	Counts    map[events.Kind]uint64 `json:"counts"`
	Estimated bool                   `json:"estimated"`
	// NextAfter is where the next page begins; empty on the last. Ask for it as of AsOf.
	NextAfter string `json:"next_after,omitempty"`
	// LostBefore is left out, or up to when sessions may have begun whose revocations the ledger may have lost: replicas hold them to be over.
	LostBefore time.Time `json:"lost_before,omitzero"`
	// GoneBefore is left out, or tells that the answer isn't whole: what was stored before has left the ledger, and some of it was in force then.
	GoneBefore time.Time `json:"gone_before,omitzero"`
}

func (s *Service) handleState(w http.ResponseWriter, r *http.Request) {
	caller, _ := access.KeyFrom(r.Context())
	q, fault := parsePast(caller, r.URL.RawQuery, false)
	if fault != nil {
		s.refuse(w, *fault)
		return
	}
	m, fault, err := s.moment(r.Context(), q.lookup, q.at, "at")
	switch {
	case fault != nil:
		s.refuse(w, *fault)
		return
	case err != nil:
		s.unreadable(w, r, err)
		return
	}
	o := s.owned(r.Context(), q)
	out := State{Tenant: q.tenant, User: q.user, AsOf: m.asOf, Position: m.position, InForce: []Fact{}, LostBefore: m.noted, GoneBefore: m.goneBefore}
	if q.user != "" {
		out.Registry = o.registry
	}
	g, counts := newGathering(s.cfg.Limits, m), countsOf(o)
	err = s.readOwned(r.Context(), m.span, o, func(entry ledger.Entry) {
		out.Position = max(out.Position, entry.Position)
		forgotten, then := g.inForce(entry)
		if !then[0] {
			return
		}
		for k := range keysOf(entry.Event) {
			if !o.has(entry.Event, k) {
				continue
			}
			counts[k.kind].add(q.tenant, k.id)
			in, dropped := q.pages.take(k)
			if dropped != nil {
				delete(g.held, *dropped)
			}
			if in {
				g.hold(k, entry, forgotten, then)
			}
		}
	})
	if err != nil {
		s.unreadable(w, r, err)
		return
	}
	for _, k := range q.pages.keys {
		out.InForce = append(out.InForce, g.of(k, 0).facts()...)
	}
	if q.pages.more {
		out.NextAfter = q.pages.keys[len(q.pages.keys)-1].cursor()
	}
	out.Counts, out.Estimated = told(counts)
	s.tell(w, out)
}

// countsOf has a counter for each scope that is asked for.
func countsOf(o owned) map[events.Kind]*distinct {
	counts := map[events.Kind]*distinct{}
	for _, kind := range events.Kinds() {
		if o.kind == "" || kind == o.kind {
			counts[kind] = newDistinct()
		}
	}
	return counts
}

func told(counts map[events.Kind]*distinct) (all map[events.Kind]uint64, estimated bool) {
	all = map[events.Kind]uint64{}
	for kind, d := range counts {
		n, rough := d.count()
		all[kind], estimated = n, estimated || rough
	}
	return all, estimated
}
