package replay

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/revocation"
)

// Whether the registry of sessions was asked, where a user is: it says which sessions are the user's that an event names without the user.
const (
	RegistryAsked = "asked"
	// RegistryInPart: the user has more sessions than the registry tells of at once, and some are left out, those that have ended before those that go on.
	RegistryInPart = "in_part"
	RegistryAway   = "away"
	RegistryNone   = "none"
)

// pastQuestion asks what was in force of a user, or of a tenant, at one moment or at two.
type pastQuestion struct {
	lookup
	user string
	kind events.Kind
	// at is the only moment of a state, or the later of two; from is the earlier.
	from, at when
	pages    pages
}

// parsePast reads the parameters of a state, or of a difference.
func parsePast(key access.Key, rawQuery string, two bool) (pastQuestion, *problem.Fault) {
	q := pastQuestion{lookup: lookup{key.Tenant, key.Has(access.ScopeOperator)}, pages: pages{limit: 100}}
	query, fault := problem.ReadQuery(rawQuery, func(name, v string) string { return q.set(key, name, v, two) })
	if fault == nil && two && !query.Has("from") {
		fault = &problem.Fault{Field: "from", Detail: "must be given: a position, a time, or a duration before now such as 2h"}
	}
	return q, fault
}

func (q *pastQuestion) set(key access.Key, name, v string, two bool) string {
	switch {
	case name == "tenant" && v == everyTenant:
		return "must be one tenant: what is in force is one's"
	case name == "tenant":
		q.tenant = v
		return tenantFault(key, v)
	case name == "user":
		q.user = v
		return events.IDFault(v)
	case name == "scope":
		q.kind = events.Kind(v)
		return oneOf(q.kind, events.Kinds())
	case name == "at" && !two, name == "to" && two:
		return q.at.set(v)
	case name == "from" && two:
		return q.from.set(v)
	case name == "limit":
		return setLimit(&q.pages.limit, v)
	case name == "after":
		return q.setAfter(v)
	case two:
		return "isn't a parameter of this call: it knows tenant, user, scope, from, to, limit, after"
	}
	return "isn't a parameter of this call: it knows tenant, user, scope, at, limit, after"
}

func (q *pastQuestion) setAfter(v string) string {
	kind, id, _ := strings.Cut(v, ":")
	if !slices.Contains(events.Kinds(), events.Kind(kind)) || events.IDFault(id) != "" {
		return "must be what an answer gave as next_after"
	}
	q.pages.after = key{events.Kind(kind), id}
	return ""
}

func (k key) cursor() string { return string(k.kind) + ":" + k.id }

// owned is what is a user's, or a tenant's.
type owned struct {
	tenant, user string
	kind         events.Kind
	// sessions are those of a user that the registry knows; devices are theirs.
	sessions map[string]revocation.Session
	devices  map[string]bool
	registry string
}

// owned asks the registry what is the user's.
func (s *Service) owned(ctx context.Context, q pastQuestion) owned {
	o := owned{tenant: q.tenant, user: q.user, kind: q.kind, sessions: map[string]revocation.Session{}, devices: map[string]bool{}, registry: RegistryNone}
	if q.user == "" || s.cfg.Sessions == nil {
		return o
	}
	waiting, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	list, more, err := s.cfg.Sessions(waiting, q.tenant, q.user, sessionstore.MaxListed)
	if err != nil {
		o.registry = RegistryAway
		s.cfg.Log.WithError(err).Warn("the registry couldn't be asked for a user's sessions")
		return o
	}
	if o.registry = RegistryAsked; more {
		o.registry = RegistryInPart
	}
	for _, r := range list {
		o.sessions[r.ID] = revocation.Session{Tenant: q.tenant, ID: r.ID, User: q.user, Device: r.Device, Client: r.Client, AuthTime: r.AuthTime}
		if r.Device != "" {
			o.devices[r.Device] = true
		}
	}
	return o
}

// topics are narrow where they can be, and none of them covers what another does.
func (o owned) topics() []string {
	if o.user == "" && o.kind == "" {
		return []string{events.TenantTopics(o.tenant)} // one is looked at sooner than five
	}
	var topics []string
	add := func(topic string) {
		if !slices.Contains(topics, topic) {
			topics = append(topics, topic)
		}
	}
	for _, kind := range events.Kinds() {
		// Sessions are named by events of users too.
		wanted := o.kind == "" || kind == o.kind || o.kind == events.KindSession && kind == events.KindUser
		switch {
		case !wanted:
		case o.user == "" || kind == events.KindClient || kind == events.KindTenant:
			add(events.KindTopics(o.tenant, kind))
		default:
			add(o.topic(kind, o.user))
			if kind == events.KindSession {
				for id := range o.sessions {
					add(o.topic(kind, id))
				}
			}
			if kind == events.KindDevice {
				for id := range o.devices {
					add(o.topic(kind, id))
				}
			}
		}
	}
	return topics
}

func (o owned) topic(kind events.Kind, id string) string {
	return events.Topic{Tenant: o.tenant, Shard: events.Shard(o.tenant, id), Kind: kind}.String()
}

// has reports whether what an event says of one of its keys is about what is asked for.
func (o owned) has(e events.Event, k key) bool {
	if o.kind != "" && k.kind != o.kind {
		return false
	}
	if o.user == "" || e.UserID() == o.user {
		return true
	}
	switch k.kind {
	case events.KindSession:
		_, known := o.sessions[k.id]
		return known
	case events.KindDevice:
		return o.devices[k.id]
	}
	return k.kind == events.KindClient || k.kind == events.KindTenant
}

// readOwned reads a range of the ledger's events of what is asked for.
func (s *Service) readOwned(ctx context.Context, span ledger.Range, o owned, fn func(entry ledger.Entry)) error {
	span.Topics = o.topics()
	return s.cfg.Ledger.Read(ctx, span, func(entry ledger.Entry) error {
		if entry.Event != nil {
			fn(entry)
		}
		return nil
	}, nil)
}
