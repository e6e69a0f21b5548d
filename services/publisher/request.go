package publisher

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
)

// Revocation is one revocation as a caller asks for it.
type Revocation struct {
	// Scope is session, user, device, client or tenant.
	Scope events.Kind `json:"scope"`
	// Tenant is the key's own, for whoever wants to be sure of it.
	Tenant  string `json:"tenant,omitempty"`
	Session string `json:"session,omitempty"`
	User    string `json:"user,omitempty"`
	Device  string `json:"device,omitempty"`
	Client  string `json:"client,omitempty"`
	// Cutoff is the present time if it is left out. Not for scope session.
	Cutoff *time.Time `json:"cutoff,omitempty"`
	// Except and KnownSessions are for scope user.
	Except        []string `json:"except,omitempty"`
	KnownSessions []string `json:"known_sessions,omitempty"`
	// AuthTime and SessionExpiresAt are for scope session.
	AuthTime         *time.Time `json:"auth_time,omitempty"`
	SessionExpiresAt *time.Time `json:"session_expires_at,omitempty"`
	// Reason is admin if it is left out.
	Reason      events.Reason     `json:"reason,omitempty"`
	ReasonAdmin string            `json:"reason_admin,omitempty"`
	ReasonUser  string            `json:"reason_user,omitempty"`
	Initiator   *events.Initiator `json:"initiator,omitempty"`
	// ExpiresAt can only lengthen how long the revocation is kept, up to 10 times max age.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// foreign returns the members that don't apply to the scope, which is one of the five. Ignoring them would do something else than the caller
// meant.
func (q Revocation) foreign() []string {
	allowed := strings.Fields(map[events.Kind]string{
		events.KindSession: "session user device client auth_time session_expires_at",
		events.KindUser:    "user cutoff except known_sessions",
		events.KindDevice:  "device user cutoff",
		events.KindClient:  "client cutoff",
		events.KindTenant:  "cutoff",
	}[q.Scope])
	given := []struct {
		name string
		set  bool
	}{
		{"session", q.Session != ""}, {"user", q.User != ""}, {"device", q.Device != ""}, {"client", q.Client != ""},
		{"cutoff", q.Cutoff != nil}, {"except", q.Except != nil}, {"known_sessions", q.KnownSessions != nil},
		{"auth_time", q.AuthTime != nil}, {"session_expires_at", q.SessionExpiresAt != nil},
	}
	var out []string
	for _, g := range given {
		if g.set && !slices.Contains(allowed, g.name) {
			out = append(out, g.name)
		}
	}
	return out
}

// stamp is what the publisher adds to every event of one call.
type stamp struct {
	now         time.Time
	key         access.Key
	traceParent string
	maxAge      time.Duration
	leeway      time.Duration
	clockSkew   time.Duration
	// approvedBy is the id of the key that has approved what key has asked for; empty where nobody had to.
	approvedBy string
}

func (s *Service) stamp(r *http.Request, key access.Key) stamp {
	return stamp{
		now: events.Floor(time.Now()), key: key, traceParent: r.Header.Get("traceparent"),
		maxAge: s.cfg.MaxAge, leeway: s.cfg.Leeway, clockSkew: s.cfg.ClockSkew,
	}
}

// event turns a request into a stamped event. The faults of the request are returned as an *events.InvalidError.
func (st stamp) event(q Revocation) (events.Event, error) {
	var faults []events.FieldFault
	fault := func(field, format string, args ...any) {
		faults = append(faults, events.FieldFault{Field: field, Remedy: fmt.Sprintf(format, args...)})
	}
	common, err := st.common(q)
	if err != nil {
		return nil, err
	}
	cutoff := st.now
	if q.Cutoff != nil && q.Scope != events.KindSession {
		cutoff = events.Floor(*q.Cutoff)
		if cutoff.After(st.now.Add(st.clockSkew)) {
			fault("cutoff", "lies more than %v in the future and would lock people out: leave it out for now", st.clockSkew)
		}
	}
	common.ExpiresAt = st.expiry(q, cutoff)
	if q.ExpiresAt != nil {
		// It only lengthens; what is shorter than the revocation needs would let the session pass again.
		if q.ExpiresAt.After(st.latestExpiry()) {
			fault("expires_at", "lies more than %d times max age (%v) in the future: leave it out, or give an earlier one", maxAges, st.maxAge)
		} else if own := events.Floor(*q.ExpiresAt); own.After(common.ExpiresAt) {
			common.ExpiresAt = own
		}
	}
	if !slices.Contains(events.Kinds(), q.Scope) {
		fault("scope", "must be one of session, user, device, client, tenant")
		return nil, &events.InvalidError{Faults: faults}
	}
	if q.Tenant != "" && q.Tenant != st.key.Tenant {
		fault("tenant", "isn't this API key's tenant: use a key of that tenant, or leave it out to mean the key's own")
	}
	for _, name := range q.foreign() {
		fault(name, "doesn't apply to scope %s: leave it out", q.Scope)
	}
	var e events.Event
	switch q.Scope {
	case events.KindSession:
		e = &events.SessionRevoked{
			Common: common, Session: q.Session, User: q.User, Device: q.Device, Client: q.Client,
			AuthTime: floored(q.AuthTime), SessionExpiresAt: floored(st.sessionEnd(q)),
		}
	case events.KindUser:
		e = &events.UserLoggedOutEverywhere{Common: common, User: q.User, Cutoff: cutoff, Except: q.Except, KnownSessions: q.KnownSessions}
	case events.KindDevice:
		e = &events.DeviceLoggedOut{Common: common, Device: q.Device, User: q.User, Cutoff: cutoff}
	case events.KindClient:
		e = &events.ClientLoggedOut{Common: common, Client: q.Client, Cutoff: cutoff}
	case events.KindTenant:
		e = &events.TenantLoggedOut{Common: common, Cutoff: cutoff}
	}
	if err := e.Validate(); err != nil {
		faults = append(faults, faultsOf(err)...)
	}
	if len(faults) > 0 {
		return nil, &events.InvalidError{Faults: faults}
	}
	return e, nil
}

func (st stamp) common(q Revocation) (events.Common, error) {
	id, err := events.NewID()
	if err != nil {
		return events.Common{}, fmt.Errorf("make an event id: %w", err)
	}
	reason := q.Reason
	if reason == "" {
		reason = events.ReasonAdmin
	}
	initiator := events.Initiator{Type: events.InitiatorSystem}
	if q.Initiator != nil {
		initiator = *q.Initiator
	}
	source := "curfew/publisher?key=" + st.key.ID
	if st.approvedBy != "" {
		source += "&approved_by=" + st.approvedBy
	}
	return events.Common{
		ID: id, Time: st.now, Source: source, Tenant: st.key.Tenant, Reason: reason,
		ReasonAdmin: q.ReasonAdmin, ReasonUser: q.ReasonUser, Initiator: initiator, TraceParent: validTraceParent(st.traceParent),
	}, nil
}

// maxAges is how many times max age a revocation may be kept at the caller's wish: replicas hold it in memory for that long.
const maxAges = 10

func (st stamp) latestExpiry() time.Time {
	latest := st.now
	for range maxAges {
		latest = latest.Add(st.maxAge) // ten times a max age of thirty years is no Duration any more
	}
	return latest
}

// expiry is the contract's (ADR 0020): the session's own end if it is known and lies ahead, else now + max age, and leeway. The caller's auth
// time plays no part, and of cutoffs it is the cutoff + max age, but for sessions that are named beside one, which may have begun after it.
func (st stamp) expiry(q Revocation, cutoff time.Time) time.Time {
	end := st.now.Add(st.maxAge)
	switch {
	case q.Scope == events.KindSession && q.SessionExpiresAt != nil && events.Floor(*q.SessionExpiresAt).After(st.now):
		end = *st.sessionEnd(q)
	case q.Scope != events.KindSession && (len(q.KnownSessions) == 0 || cutoff.After(st.now)):
		end = cutoff.Add(st.maxAge)
	}
	end = events.Floor(end.Add(st.leeway))
	// A cutoff may lie close to the first year that can be written.
	if end.Before(time.Unix(0, 0)) {
		return time.Unix(0, 0).UTC()
	}
	return end
}

// sessionEnd is the session's own end as replicas are told of it. One that lies further ahead than anything may be kept stands for "never", as
// in the year 9999; the session is revoked all the same, and max age ends it long before.
func (st stamp) sessionEnd(q Revocation) *time.Time {
	if latest := st.latestExpiry(); q.SessionExpiresAt != nil && q.SessionExpiresAt.After(latest) {
		return &latest
	}
	return q.SessionExpiresAt
}

func floored(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return events.Floor(*t)
}

// validTraceParent drops a header that isn't of an event's form, and the values that W3C Trace Context calls invalid (section 3.2.2: version ff,
// ids of zeros); a caller's broken tracing must not keep a session alive.
func validTraceParent(h string) string {
	const zeros = "00000000000000000000000000000000"
	if events.TraceParentFault(h) != "" || h[:2] == "ff" || h[3:35] == zeros || h[36:52] == zeros[:16] {
		return ""
	}
	return h
}
