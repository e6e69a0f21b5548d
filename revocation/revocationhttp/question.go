package revocationhttp

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// question is what a gate is asked. Questions that are equal have the same answer.
type question struct {
	tenant, session, user, device, client string
	// authTime is in Unix milliseconds, math.MinInt64 for none.
	authTime int64
	budget   time.Duration
	position uint64
	// missingSession, missingUser and missingAuthTime say what may be missing.
	missingSession, missingUser, missingAuthTime bool
}

// questionOf returns the question for a session, or an error that wraps ErrGateRefused if it can't be asked faithfully. budget is positive.
func questionOf(s revocation.Session, q revocation.Require, budget time.Duration) (question, error) {
	out := question{
		tenant: s.Tenant, session: s.ID, user: s.User, device: s.Device, client: s.Client, authTime: math.MinInt64, budget: budget, position: q.Position,
		missingSession: q.DangerouslyAllowMissingSession, missingUser: q.DangerouslyAllowMissingUser, missingAuthTime: q.DangerouslyAllowMissingAuthTime,
	}
	if out.tenant == "" {
		out.tenant = events.DefaultTenant
	}
	if !s.AuthTime.IsZero() {
		out.authTime = events.Floor(s.AuthTime).UnixMilli()
	}
	for _, id := range []string{s.ID, s.User, s.Device, s.Client} {
		// JSON has no form for some of them: another session would be asked for.
		if id != "" && events.IDFault(id) != "" {
			return question{}, fmt.Errorf("%w: the session has an id that isn't one", ErrGateRefused)
		}
	}
	return out, nil
}

// body is the question as the gate reads it.
func (q question) body() ([]byte, error) {
	type members struct {
		Session        string   `json:"session,omitempty"`
		User           string   `json:"user,omitempty"`
		Device         string   `json:"device,omitempty"`
		Client         string   `json:"client,omitempty"`
		AuthTime       string   `json:"auth_time,omitempty"`
		MaxStalenessMS int64    `json:"max_staleness_ms"`
		Position       uint64   `json:"position,omitempty"`
		AllowMissing   []string `json:"dangerously_allow_missing,omitempty"`
	}
	m := members{
		Session: q.session, User: q.user, Device: q.device, Client: q.client, Position: q.position,
		// The gate knows no 0; what it says is held to the budget itself all the same.
		MaxStalenessMS: max(q.budget.Milliseconds(), 1),
	}
	if q.authTime != math.MinInt64 {
		m.AuthTime = time.UnixMilli(q.authTime).UTC().Format("2006-01-02T15:04:05.000Z")
	}
	for _, may := range []struct {
		missing bool
		name    string
	}{{q.missingSession, "session"}, {q.missingUser, "user"}, {q.missingAuthTime, "auth_time"}} {
		if may.missing {
			m.AllowMissing = append(m.AllowMissing, may.name)
		}
	}
	return json.Marshal(m)
}

// verdict is a gate's answer, as far as it is used.
type verdict struct {
	Tenant        *string  `json:"tenant"`
	State         string   `json:"state"`
	Scope         string   `json:"scope"`
	Reason        string   `json:"reason"`
	EventPosition uint64   `json:"event_position"`
	Position      *uint64  `json:"position"`
	StalenessMS   *float64 `json:"staleness_ms"`
}

// readVerdict reads an answer. go-jose's json package matches names exactly and refuses a name that stands twice. Members that this version
// doesn't know are ignored: a later gate may tell more.
func readVerdict(b []byte) (verdict, error) {
	var v verdict
	if err := json.Unmarshal(b, &v); err != nil {
		return verdict{}, fmt.Errorf("%w: its answer isn't JSON of a verdict", ErrGateUnavailable)
	}
	if v.Tenant == nil || v.Position == nil || v.StalenessMS == nil {
		return verdict{}, fmt.Errorf("%w: its answer lacks tenant, position or staleness_ms", ErrGateUnavailable)
	}
	return v, nil
}

// decision returns what a verdict says, if it may be believed elapsed after it was asked for.
func (v verdict) decision(q question, elapsed time.Duration) (revocation.Decision, error) {
	d := revocation.Decision{Position: *v.Position, Staleness: -1}
	// A number that no duration holds fails the comparison as well.
	if ms := *v.StalenessMS; ms >= 0 && ms <= float64(q.budget)/1e6 {
		// The gate cuts off parts of a microsecond; and its proof has aged since.
		d.Staleness = time.Duration(ms*1e6) + time.Microsecond + max(elapsed, 0)
	}
	switch {
	case *v.Tenant != q.tenant:
		return d, fmt.Errorf("%w: it answers for another tenant: the key isn't of the tenant that it is given for", ErrGateRefused)
	case v.State == revocation.Revoked.String():
		// True however stale the gate is.
		d.State, d.Scope, d.Reason, d.EventPosition = revocation.Revoked, revocation.Scope(v.Scope), events.Reason(v.Reason), v.EventPosition
		if !slices.Contains(scopes(), d.Scope) || !slices.Contains(events.Reasons(), d.Reason) {
			return d, fmt.Errorf("%w: its answer names a scope or a reason that doesn't exist", ErrGateUnavailable)
		}
		return d, nil
	case v.State == revocation.Undetermined.String():
		return d, ErrGateUndetermined
	case v.State != revocation.Active.String():
		return d, fmt.Errorf("%w: its answer names a state that doesn't exist", ErrGateUnavailable)
	case d.Position < q.position:
		return d, fmt.Errorf("%w: it is behind the required position", ErrGateUndetermined)
	case d.Staleness < 0 || d.Staleness > q.budget:
		return d, fmt.Errorf("%w: its proof is older than the budget", ErrGateUndetermined)
	}
	d.State = revocation.Active
	return d, nil
}

func scopes() []revocation.Scope {
	return []revocation.Scope{
		revocation.ScopeSession, revocation.ScopeUser, revocation.ScopeDevice, revocation.ScopeClient, revocation.ScopeTenant, revocation.ScopeMaxAge,
	}
}
