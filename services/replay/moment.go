package replay

import (
	"context"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
)

// question is a session and the moment as of which it is asked about: a position, a time, or neither: the present.
type question struct {
	session  revocation.Session
	position uint64
	at       time.Time
	// everybodys says that the key may hear of every tenant.
	everybodys bool
}

// parseQuestion reads the parameters of an explanation.
func parseQuestion(key access.Key, rawQuery string) (question, *problem.Fault) {
	q := question{session: revocation.Session{Tenant: key.Tenant}, everybodys: key.Has(access.ScopeOperator)}
	if _, fault := readQuery(rawQuery, func(name, v string) string { return q.set(key, name, v) }); fault != nil {
		return q, fault
	}
	if s := q.session; s.ID == "" && s.User == "" && s.Device == "" && s.Client == "" {
		return q, &problem.Fault{Field: "session", Detail: "must be given, or a user, a device or a client"}
	}
	return q, nil
}

// set takes one parameter. It returns what to do instead, or "".
func (q *question) set(key access.Key, name, v string) string {
	s := &q.session
	switch name {
	case "tenant":
		if v == everyTenant {
			return "must be one tenant: a session is one's"
		}
		s.Tenant = v
		return tenantFault(key, v)
	case "session":
		s.ID = v
	case "user":
		s.User = v
	case "device":
		s.Device = v
	case "client":
		s.Client = v
	case "auth_time":
		if err := s.AuthTime.UnmarshalText([]byte(v)); err != nil || s.AuthTime.Unix() < 0 {
			return "must be an RFC 3339 time since 1970, best with milliseconds; write its '+' as %2B"
		}
		return ""
	case "at":
		return q.setMoment(v)
	default:
		return "isn't a parameter of this call: it knows tenant, session, user, device, client, auth_time, at"
	}
	return events.IDFault(v)
}

func (q *question) setMoment(v string) string {
	var err error
	if q.position, err = strconv.ParseUint(v, 10, 63); err == nil && q.position > 0 {
		return ""
	}
	isNumber := err == nil
	if q.at, err = parseTime(v); isNumber || err != nil || q.at.After(time.Now()) {
		return "must be a position, an RFC 3339 time since 1970 that isn't ahead, or a duration before now such as 2h"
	}
	return ""
}

// moment returns what is to be read for a question, and an explanation that names the moment; LostBefore in it is the ledger's, whether it matters or not. A fault is the caller's.
func (s *Service) moment(ctx context.Context, q question) (ledger.Range, Explanation, *problem.Fault, error) {
	span := ledger.Range{Topics: []string{events.TenantTopics(q.session.Tenant)}}
	out := Explanation{Tenant: q.session.Tenant, AsOf: q.at, Ending: []Finding{}, Sparing: []Finding{}}
	head, err := s.cfg.Ledger.Head(ctx)
	if err != nil {
		return span, out, nil, err
	}
	if !head.WholeSince.IsZero() {
		out.LostBefore = head.WholeSince.Add(s.cfg.Limits.Leeway()).UTC() // as replicas add it
	}
	out.Position = head.Last
	switch {
	case q.position > head.Last:
		return span, out, &problem.Fault{Field: "at", Detail: "is beyond the ledger's head, which is at " + strconv.FormatUint(head.Last, 10)}, nil
	case q.position > 0:
		span.Before, out.Position = q.position+1, q.position
		stored, ok, err := s.storedAt(ctx, q)
		if err != nil {
			return span, out, nil, err
		}
		if !ok {
			return span, out, &problem.Fault{Field: "at", Detail: "the ledger holds no event of this tenant there, or none any more: give a time, or the position of an event ('curfew events ls')"}, nil
		}
		out.AsOf = stored
	case !q.at.IsZero():
		span.Until = q.at.Add(1) // what was stored just then counts
		out.Position = 0
	default:
		out.AsOf = head.Clock.Streams
		span.Before = head.Last + 1
	}
	out.AsOf = out.AsOf.UTC()
	return span, out, nil, nil
}

// storedAt returns when the message at a question's position was stored. When others' were is told to nobody who may not hear of them; nor when a beat was, or the positions that are left would be others'.
func (s *Service) storedAt(ctx context.Context, q question) (stored time.Time, ok bool, err error) {
	span := ledger.Range{Topics: []string{events.TenantTopics(q.session.Tenant)}, After: q.position - 1, Before: q.position + 1}
	if q.everybodys {
		span.Topics = []string{events.TopicAll, events.TopicBeat}
	}
	err = s.cfg.Ledger.Read(ctx, span, func(entry ledger.Entry) error {
		stored, ok = entry.Stored, true
		return ledger.ErrStop
	}, nil)
	return stored, ok, err
}
