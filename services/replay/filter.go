package replay

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
)

// filter says which events are wanted. Empty members match everything.
type filter struct {
	// tenant is the key's own, or what an operator has named; * for all.
	tenant                        string
	user, session, device, client string
	kind                          events.Kind
	reason                        events.Reason
	initiator                     events.InitiatorType
	initiatorID                   string
	// newest has a page begin with the newest event and go backwards.
	newest bool
	limit  int
	span   ledger.Range
}

// match says whether an event is wanted. Which tenant's it is the topics have said.
func (f *filter) match(e events.Event) bool {
	m := e.Meta()
	return (f.kind == "" || e.Kind() == f.kind) && (f.reason == "" || m.Reason == f.reason) &&
		(f.initiator == "" || m.Initiator.Type == f.initiator) && (f.initiatorID == "" || m.Initiator.ID == f.initiatorID) &&
		(f.user == "" || e.UserID() == f.user) && (f.session == "" || names(e, f.session)) &&
		(f.device == "" || deviceOf(e) == f.device) && (f.client == "" || clientOf(e) == f.client)
}

// names reports whether e ends the session by name.
func names(e events.Event, session string) bool {
	switch e := e.(type) {
	case *events.SessionRevoked:
		return e.Session == session
	case *events.UserLoggedOutEverywhere:
		return slices.Contains(e.KnownSessions, session)
	}
	return false
}

func deviceOf(e events.Event) string {
	switch e := e.(type) {
	case *events.SessionRevoked:
		return e.Device
	case *events.DeviceLoggedOut:
		return e.Device
	}
	return ""
}

func clientOf(e events.Event) string {
	switch e := e.(type) {
	case *events.SessionRevoked:
		return e.Client
	case *events.ClientLoggedOut:
		return e.Client
	}
	return ""
}

// parseFilter refuses parameters that it doesn't know, and such as are empty. page says whether the call has pages.
func parseFilter(key access.Key, rawQuery string, page bool) (*filter, *problem.Fault) {
	f := &filter{tenant: key.Tenant, limit: 100}
	query, fault := problem.ReadQuery(rawQuery, func(name, v string) string { return f.set(key, name, v, page) })
	if fault != nil {
		return nil, fault
	}
	for _, name := range []string{"limit", "order", "until", "before"} {
		if f.span.Follow && query.Has(name) {
			return nil, &problem.Fault{Field: name, Detail: "doesn't go together with follow: leave one of them out"}
		}
	}
	if query.Has("since") && query.Has("until") && !f.span.Since.Before(f.span.Until) {
		// Nothing lies there, and who has exchanged the two would take that for an answer.
		return nil, &problem.Fault{Field: "until", Detail: "must be later than since; durations are before now, so since=5m and until=1m"}
	}
	f.span.New = f.span.Follow && !query.Has("after") && !query.Has("since")
	f.span.Topics = []string{f.topics()}
	return f, nil
}

// topics is narrow where it can be: only events that name the user can match, and they all lie in the user's shard.
func (f *filter) topics() string {
	switch {
	case f.tenant == everyTenant:
		return events.TopicAll
	case f.user != "":
		return events.UserTopics(f.tenant, f.user)
	}
	return events.TenantTopics(f.tenant)
}

const everyTenant = "*"

// set takes one parameter. It returns what to do instead, or "".
func (f *filter) set(key access.Key, name, v string, page bool) string {
	switch name {
	case "tenant":
		f.tenant = v
		return tenantFault(key, v)
	case "user":
		f.user = v
		return events.IDFault(v)
	case "session":
		f.session = v
		return events.IDFault(v)
	case "device":
		f.device = v
		return events.IDFault(v)
	case "client":
		f.client = v
		return events.IDFault(v)
	case "initiator_id":
		f.initiatorID = v
		return events.IDFault(v)
	case "scope":
		f.kind = events.Kind(v)
		return oneOf(f.kind, events.Kinds())
	case "reason":
		f.reason = events.Reason(v)
		return oneOf(f.reason, events.Reasons())
	case "initiator":
		f.initiator = events.InitiatorType(v)
		return oneOf(f.initiator, []events.InitiatorType{events.InitiatorUser, events.InitiatorAdmin, events.InitiatorPolicy, events.InitiatorSystem})
	}
	return f.setSpan(name, v, page)
}

// setSpan takes a parameter that says where to read.
func (f *filter) setSpan(name, v string, page bool) string {
	var err error
	switch {
	case name == "since" || name == "until":
		at := &f.span.Since
		if name == "until" {
			at = &f.span.Until
		}
		if *at, err = parseTime(v); err != nil {
			return "must be an RFC 3339 time since 1970, or a duration before now such as 2h"
		}
	case name == "after":
		if f.span.After, err = strconv.ParseUint(v, 10, 63); err != nil {
			return "must be a position"
		}
	case name == "before":
		if f.span.Before, err = strconv.ParseUint(v, 10, 63); err != nil || f.span.Before == 0 {
			return "must be a position"
		}
	case name == "limit" && page:
		return setLimit(&f.limit, v)
	case name == "order" && page:
		f.newest = v == "newest"
		return oneOf(v, []string{"oldest", "newest"})
	case name == "follow" && page:
		f.span.Follow = v == "true"
		return oneOf(v, []string{"true", "false"})
	default:
		known := "tenant, user, session, device, client, scope, reason, initiator, initiator_id, since, until, after, before"
		if page {
			known += ", limit, order, follow"
		}
		return "isn't a parameter of this call: it knows " + known
	}
	return ""
}

// tenantFault returns "", or why a key can't ask about a tenant, or about all of them.
func tenantFault(key access.Key, tenant string) string {
	switch {
	case tenant != everyTenant && events.TenantFault(tenant) != "":
		return events.TenantFault(tenant) + ", or * for all"
	case tenant != key.Tenant && !key.Has(access.ScopeOperator):
		return "isn't the key's tenant: ask with a key of that tenant, or one with the scopes read and operator"
	}
	return ""
}

// setLimit takes how many are wanted. It returns what to do instead, or "".
func setLimit(limit *int, v string) string {
	var err error
	if *limit, err = strconv.Atoi(v); err != nil || *limit < 1 || *limit > 1000 {
		return "must be 1 to 1000"
	}
	return ""
}

func oneOf[T ~string](v T, known []T) string {
	if slices.Contains(known, v) {
		return ""
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	return "must be one of " + strings.Join(names, ", ")
}

// parseTime takes a time since 1970, or a duration before now; one that reaches further back is 1970. A zero time would be none.
func parseTime(v string) (time.Time, error) {
	first := time.Unix(0, 0)
	if d, err := time.ParseDuration(v); err == nil && d >= 0 {
		if at := time.Now().Add(-d); at.After(first) {
			return at, nil
		}
		return first, nil
	}
	at, err := time.Parse(time.RFC3339, v)
	if err == nil && at.Before(first) {
		return time.Time{}, errors.New("lies before 1970")
	}
	return at, err
}
