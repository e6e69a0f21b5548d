package sessions

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"net/netip"
	"sort"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// Registration says that a session has begun.
type Registration struct {
	// Session is minted if it is left out: 128 random bits.
	Session string `json:"session,omitempty"`
	User    string `json:"user"`
	Device  string `json:"device,omitempty"`
	Client  string `json:"client,omitempty"`
	// AuthTimeMS is the session's auth time in milliseconds. Left out it is stamped, which is right for a sign-in that has just happened.
	AuthTimeMS *int64 `json:"auth_time_ms,omitempty"`
	// UserAgent and IP are the browser's, as the application was told them.
	UserAgent string `json:"user_agent,omitempty"`
	IP        string `json:"ip,omitempty"`
	// ExpiresAt is the session's absolute end, if it has one before max age. Not that of a rolling session, which moves.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// Registered is the answer: what belongs into the session's token.
type Registered struct {
	Session    string    `json:"session"`
	User       string    `json:"user"`
	Device     string    `json:"device,omitempty"`
	Client     string    `json:"client,omitempty"`
	AuthTime   time.Time `json:"auth_time"`
	AuthTimeMS int64     `json:"auth_time_ms"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	// IdleTimeoutMS is absent where sessions don't end for nobody's being there.
	IdleTimeoutMS int64 `json:"idle_timeout_ms,omitempty"`
}

// positionTimeout is how long a call that presents a position waits for the replica.
const positionTimeout = time.Second

func (s *Service) handleRegister(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	refuse := func(result string, p problem.Problem) {
		s.cfg.Metrics.Registered.WithLabelValues(result).Inc()
		s.refuse(w, p)
	}
	var q Registration
	if p := problem.Read(w, r, &q); p.Status != 0 {
		refuse("refused", p)
		return
	}
	now := events.Floor(time.Now())
	session, faults := s.session(key.Tenant, q, now)
	if len(faults) > 0 {
		refuse("refused", problem.Invalid(faults...))
		return
	}
	if position, _, err := revocationhttp.PositionOf(r); err != nil {
		refuse("refused", problem.New(http.StatusBadRequest, "invalid_position", err.Error()))
		return
	} else if position > 0 {
		waiting, cancel := context.WithTimeout(r.Context(), positionTimeout)
		_ = s.cfg.Replica.WaitFor(waiting, position) // it is for the auth time's sake, and better early than never
		cancel()
	}
	if q.AuthTimeMS == nil {
		session.AuthTime = s.authTime(session, now)
		// A logout up to an earlier time than this mustn't name it.
		session.CreatedAt = session.AuthTime
	}
	session.ExpiresAt = earlier(session.ExpiresAt, session.AuthTime.Add(s.cfg.Timing.MaxAge))
	if d := s.check(session); d.State == revocation.Revoked {
		refuse("refused", ended(d.Reason))
		return
	}
	stored, created, err := s.create(r.Context(), session)
	switch {
	case errors.Is(err, errTooMany):
		refuse("refused", s.tooMany())
		return
	case err != nil:
		refuse("unavailable", s.unavailable("The session isn't registered.", err))
		return
	case stored.User != session.User:
		refuse("refused", problem.New(http.StatusConflict, "session_of_another_user", "There is a session with this id, and it is another user's: mint another id. Ids are never used again."))
		return
	case stored.Ended != nil:
		refuse("refused", ended(stored.Ended.Reason))
		return
	}
	if d := s.check(stored); !created && d.State == revocation.Revoked {
		refuse("refused", ended(d.Reason))
		return
	}
	status, result := http.StatusOK, "known"
	if created {
		status, result = http.StatusCreated, "created"
		s.tell(gateways.Hint{Kind: gateways.HintChanged, Tenant: stored.Tenant, User: stored.User})
	}
	s.cfg.Metrics.Registered.WithLabelValues(result).Inc()
	problem.JSON(w, status, s.registered(stored))
}

func ended(reason events.Reason) problem.Problem {
	return problem.New(http.StatusConflict, "session_ended", "This session is over ("+string(reason)+"), and stays so: let the user sign in again, with a new session id.")
}

func (s *Service) registered(session sessionstore.Session) Registered {
	return Registered{
		Session: session.ID, User: session.User, Device: session.Device, Client: session.Client, AuthTime: session.AuthTime, AuthTimeMS: session.AuthTime.UnixMilli(),
		CreatedAt: session.CreatedAt, ExpiresAt: session.ExpiresAt, IdleTimeoutMS: s.cfg.Timing.IdleTimeout.Milliseconds(),
	}
}

// session is what a registration asks for, but for what it leaves to the registry.
func (s *Service) session(tenant string, q Registration, now time.Time) (sessionstore.Session, []problem.Fault) {
	var faults []problem.Fault
	fault := func(field, detail string) { faults = append(faults, problem.Fault{Field: field, Detail: detail}) }
	faults = idFaults(faults, "session", q.Session, false)
	faults = idFaults(faults, "user", q.User, true)
	faults = idFaults(faults, "device", q.Device, false)
	faults = idFaults(faults, "client", q.Client, false)
	out := sessionstore.Session{
		Tenant: tenant, ID: q.Session, User: q.User, Device: q.Device, Client: q.Client, CreatedAt: now, SeenAt: now, Agent: agentOf(q.UserAgent),
	}
	if out.ID == "" {
		out.ID = mint()
	}
	if q.AuthTimeMS != nil {
		out.AuthTime = time.UnixMilli(*q.AuthTimeMS).UTC()
		switch {
		case out.AuthTime.After(now.Add(s.cfg.ClockSkew)):
			fault("auth_time_ms", "lies in the future: leave it out, which takes the server's time, or compare the clocks; it is milliseconds since 1970")
		case !out.AuthTime.Add(s.cfg.Timing.MaxAge).After(now):
			fault("auth_time_ms", "lies longer ago than max age, so the session is over: let the user sign in again; it is milliseconds since 1970")
		}
	}
	if q.ExpiresAt != nil {
		if out.ExpiresAt = events.Floor(*q.ExpiresAt); !out.ExpiresAt.After(now) {
			fault("expires_at", "has passed: leave it out if the session's end moves")
		}
	}
	if q.IP != "" {
		addr, err := netip.ParseAddr(q.IP)
		if err != nil {
			fault("ip", "isn't an address, such as 203.0.113.7 or 2001:db8::7: send the client's alone, without a port")
		}
		out.Network = networkOf(addr, s.cfg.NetworkBits4, s.cfg.NetworkBits6)
	}
	return out, faults
}

// mint returns a new session id: 128 random bits.
func mint() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// authTime is now, or as much later as it takes to lie after every cutoff for the session's user, device, client and tenant: the clock of the process that has stamped
// one may be ahead of ours, by no more than the clock skew, and whoever signs in after it must get in.
func (s *Service) authTime(session sessionstore.Session, now time.Time) time.Time {
	over := func(at time.Time) bool {
		session.AuthTime = at
		return s.check(session).State == revocation.Revoked
	}
	if !over(now) {
		return now
	}
	skew := int(s.cfg.ClockSkew.Milliseconds())
	// A later auth time is never over where an earlier one is not.
	later := sort.Search(skew, func(ms int) bool { return !over(now.Add(time.Duration(ms+1) * time.Millisecond)) })
	if later == skew {
		return now // it is the session that is over, or the cutoff lies too far ahead to be anybody's clock
	}
	return now.Add(time.Duration(later+1) * time.Millisecond)
}

// check asks the replica about a session.
func (s *Service) check(session sessionstore.Session) revocation.Decision {
	return s.cfg.Replica.CheckWith(revocation.Session{
		Tenant: session.Tenant, ID: session.ID, User: session.User, Device: session.Device, Client: session.Client, AuthTime: session.AuthTime,
	}, revocation.Require{})
}

// tell tells all gateways something. That it may be lost is in its nature.
func (s *Service) tell(h gateways.Hint) {
	if err := s.cfg.Tell(h); err != nil {
		s.cfg.Log.WithError(err).Debug("tabs weren't told")
	}
}
