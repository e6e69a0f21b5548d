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

// question is a session and the moment as of which it is asked about.
type question struct {
	session revocation.Session
	at      when
	// everybodys says that the key may hear of every tenant.
	everybodys bool
}

// parseQuestion reads the parameters of an explanation.
func parseQuestion(key access.Key, rawQuery string) (question, *problem.Fault) {
	q := question{session: revocation.Session{Tenant: key.Tenant}, everybodys: key.Has(access.ScopeOperator)}
	if _, fault := problem.ReadQuery(rawQuery, func(name, v string) string { return q.set(key, name, v) }); fault != nil {
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
		return q.at.set(v)
	default:
		return "isn't a parameter of this call: it knows tenant, session, user, device, client, auth_time, at"
	}
	return events.IDFault(v)
}

// when is a position, a time, or neither: the present.
type when struct {
	position uint64
	at       time.Time
}

// set reads a moment. It returns what to do instead, or "".
func (w *when) set(v string) string {
	var err error
	if w.position, err = strconv.ParseUint(v, 10, 63); err == nil && w.position > 0 {
		return ""
	}
	isNumber := err == nil
	if w.at, err = parseTime(v); isNumber || err != nil || w.at.After(time.Now()) {
		return "must be a position, an RFC 3339 time since 1970 that isn't ahead, or a duration before now such as 2h"
	}
	return ""
}

// moment is one of a tenant's ledger. Of what was stored up to then, span reads all that the ledger still has.
type moment struct {
	span     ledger.Range
	asOf     time.Time
	position uint64
	// lostBefore is zero, or up to when sessions may have begun whose revocations the ledger may have lost; noted is so too, where it was lost otherwise than by its age. goneBefore is zero, or before when what was stored has left the
	// ledger, although some of it was in force at the moment.
	lostBefore, noted, goneBefore time.Time
}

// includes reports whether a message was stored by then.
func (m moment) includes(entry ledger.Entry) bool {
	return (m.span.Before == 0 || entry.Position < m.span.Before) && (m.span.Until.IsZero() || entry.Stored.Before(m.span.Until))
}

// lookup is whose moment is looked for, and by whom.
type lookup struct {
	tenant string
	// everybodys says that the key may hear of every tenant.
	everybodys bool
}

// moment finds one of a tenant's ledger. A fault, which names the parameter, is the caller's.
func (s *Service) moment(ctx context.Context, l lookup, w when, parameter string) (moment, *problem.Fault, error) {
	m := moment{span: ledger.Range{Topics: []string{events.TenantTopics(l.tenant)}}, asOf: w.at}
	head, err := s.cfg.Ledger.Head(ctx)
	if err != nil {
		return m, nil, err
	}
	if !head.WholeSince.IsZero() {
		m.lostBefore = head.WholeSince.Add(s.cfg.Limits.Leeway()).UTC() // as replicas add it
		if head.Retention == 0 || head.WholeSince.After(head.Clock.Streams.Add(-head.Retention)) {
			m.noted = m.lostBefore
		}
	}
	m.position = head.Last
	switch {
	case w.position > head.Last:
		return m, &problem.Fault{Field: parameter, Detail: "is beyond the ledger's head, which is at " + strconv.FormatUint(head.Last, 10)}, nil
	case w.position > 0:
		m.span.Before, m.position = w.position+1, w.position
		stored, ok, err := s.storedAt(ctx, l, w.position)
		if err != nil {
			return m, nil, err
		}
		if !ok {
			return m, &problem.Fault{Field: parameter, Detail: "the ledger holds no event of this tenant there, or none any more: give a time, or the position of an event ('curfew events ls')"}, nil
		}
		m.asOf = stored
	case !w.at.IsZero():
		m.span.Until = w.at.Add(1) // what was stored just then counts
		m.position = 0
	default:
		m.asOf = head.Clock.Streams
		m.span.Before = head.Last + 1
	}
	m.asOf = m.asOf.UTC()
	if gone := head.GoneBefore(); m.asOf.Add(-s.cfg.Limits.MaxAge() - s.cfg.Limits.Leeway()).Before(gone) {
		m.goneBefore = gone.UTC()
	}
	return m, nil, nil
}

// storedAt returns when the message at a position was stored. When others' were is told to nobody who may not hear of them; nor when a beat was, or the positions that are left would be others'.
func (s *Service) storedAt(ctx context.Context, l lookup, position uint64) (stored time.Time, ok bool, err error) {
	span := ledger.Range{Topics: []string{events.TenantTopics(l.tenant)}, After: position - 1, Before: position + 1}
	if l.everybodys {
		span.Topics = []string{events.TopicAll, events.TopicBeat}
	}
	err = s.cfg.Ledger.Read(ctx, span, func(entry ledger.Entry) error {
		stored, ok = entry.Stored, true
		return ledger.ErrStop
	}, nil)
	return stored, ok, err
}
