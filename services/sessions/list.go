package sessions

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/revocation"
)

// State is what is known of a session.
type State string

// The states.
const (
	StateActive State = "active"
	StateEnded  State = "ended"
	// StateUndetermined: the replica can't tell just now.
	StateUndetermined State = "undetermined"
)

// View is a session as people see it.
type View struct {
	Session string `json:"session"`
	// User is left out in a list of a user's.
	User   string `json:"user,omitempty"`
	Device string `json:"device,omitempty"`
	Client string `json:"client,omitempty"`
	// Name is of the browser and the system.
	Name    string `json:"name"`
	Browser string `json:"browser,omitempty"`
	OS      string `json:"os,omitempty"`
	// Form is desktop, mobile, tablet, bot or unknown.
	Form string `json:"form"`
	// IP is the network of the address that it was begun from.
	IP         string    `json:"ip,omitempty"`
	AuthTime   time.Time `json:"auth_time"`
	CreatedAt  time.Time `json:"created_at"`
	LastSeenAt time.Time `json:"last_seen_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	// IdleExpiresAt is when the session ends unless it is touched; left out where sessions don't end so, and of one that has ended.
	IdleExpiresAt time.Time `json:"idle_expires_at,omitzero"`
	// Current is whether it is the session that was asked with.
	Current bool  `json:"current"`
	State   State `json:"state"`
	// EndedAt and Reason are those of a session that has ended. EndedAt isn't known of one that a client's or tenant's logout has ended, until that is noted.
	EndedAt time.Time     `json:"ended_at,omitzero"`
	Reason  events.Reason `json:"reason,omitempty"`
}

// Device is what a user keeps across sessions. A session that names none stands for one of its own.
type Device struct {
	Device   string   `json:"device,omitempty"`
	Name     string   `json:"name"`
	Sessions []string `json:"sessions"`
}

// List is a user's sessions: those that go on first, the newest of either first.
type List struct {
	Sessions []View   `json:"sessions"`
	Devices  []Device `json:"devices"`
	// More is whether there are sessions that aren't listed.
	More bool `json:"more"`
}

// query is what a list is asked with.
type query struct {
	current string
	ended   bool
	limit   int
}

func parseQuery(r *http.Request) (query, problem.Problem) {
	q := query{ended: true, limit: 100}
	values, err := url.ParseQuery(r.URL.RawQuery)
	for name, v := range values {
		if name != "current" && name != "ended" && name != "limit" || len(v) != 1 {
			err = errors.New("unknown or repeated")
		}
	}
	if err != nil {
		return q, problem.New(http.StatusBadRequest, "unknown_parameter", "This call knows the parameters current, ended and limit, each once.")
	}
	var faults []problem.Fault
	if values.Has("current") {
		q.current = values.Get("current")
		faults = idFaults(faults, "current", q.current, true)
	}
	if ended := values.Get("ended"); values.Has("ended") {
		q.ended = ended == "true"
		if ended != "true" && ended != "false" {
			faults = append(faults, problem.Fault{Field: "ended", Detail: "must be true or false"})
		}
	}
	if values.Has("limit") {
		if q.limit, err = strconv.Atoi(values.Get("limit")); err != nil || q.limit < 1 || q.limit > sessionstore.MaxListed {
			faults = append(faults, problem.Fault{Field: "limit", Detail: "must be a number from 1 to 1000"})
		}
	}
	if len(faults) > 0 {
		return q, problem.Invalid(faults...)
	}
	return q, problem.Problem{}
}

func (s *Service) handleList(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	user := r.PathValue("user")
	if faults := idFaults(nil, "user", user, true); len(faults) > 0 {
		s.refuse(w, problem.Invalid(faults...))
		return
	}
	q, p := parseQuery(r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	// Which have ended is known only when they are looked at.
	stored, more, err := s.cfg.Store.Sessions(r.Context(), key.Tenant, user, sessionstore.MaxListed)
	if err != nil {
		s.refuse(w, s.unavailable("The sessions can't be listed.", err))
		return
	}
	problem.JSON(w, http.StatusOK, s.list(stored, more, q, time.Now()))
}

// list puts the answer together.
func (s *Service) list(stored []sessionstore.Session, more bool, q query, now time.Time) List {
	out := List{Sessions: []View{}, Devices: []Device{}, More: more}
	devices := map[string]int{} // device → its place
	for _, session := range stored {
		v := s.view(session, now)
		if v.State == StateEnded && !q.ended {
			continue
		}
		if len(out.Sessions) == q.limit {
			out.More = true
			break
		}
		v.User, v.Current = "", v.Session == q.current
		out.Sessions = append(out.Sessions, v)
		if i, known := devices[v.Device]; known && v.Device != "" {
			out.Devices[i].Sessions = append(out.Devices[i].Sessions, v.Session)
			continue
		}
		devices[v.Device] = len(out.Devices)
		out.Devices = append(out.Devices, Device{Device: v.Device, Name: v.Name, Sessions: []string{v.Session}})
	}
	return out
}

// view tells of a session what the store knows, and whether it is over what the replica knows: it has heard of ends that the store hasn't been told yet, and of those of
// clients and tenants, which nobody tells it session by session.
func (s *Service) view(session sessionstore.Session, now time.Time) View {
	v := View{
		Session: session.ID, User: session.User, Device: session.Device, Client: session.Client, Name: nameOf(session.Agent), Browser: session.Agent.Browser,
		OS: session.Agent.OS, Form: session.Agent.Form, IP: session.Network, AuthTime: session.AuthTime, CreatedAt: session.CreatedAt, LastSeenAt: session.SeenAt,
		ExpiresAt: session.ExpiresAt, State: StateActive,
	}
	if v.Form == "" {
		v.Form = "unknown"
	}
	if e := session.Ended; e != nil {
		v.State, v.EndedAt, v.Reason = StateEnded, e.At, e.Reason
		return v
	}
	switch d := s.check(session); {
	case d.State == revocation.Revoked && d.Scope != revocation.ScopeMaxAge:
		v.State, v.Reason = StateEnded, d.Reason
	case d.State == revocation.Revoked, !now.Before(s.cfg.Timing.absolute(session)):
		v.State, v.Reason, v.EndedAt = StateEnded, events.ReasonMaxAge, s.cfg.Timing.absolute(session)
	case d.State == revocation.Undetermined:
		v.State = StateUndetermined
	}
	if v.State != StateEnded {
		v.IdleExpiresAt = s.cfg.Timing.idleExpires(session)
	}
	return v
}

func (s *Service) handleSession(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	id := r.PathValue("session")
	if faults := idFaults(nil, "session", id, true); len(faults) > 0 {
		s.refuse(w, problem.Invalid(faults...))
		return
	}
	session, err := s.cfg.Store.Session(r.Context(), sessionstore.Key{Tenant: key.Tenant, ID: id})
	switch {
	case errors.Is(err, sessionstore.ErrUnknown):
		s.refuse(w, unknown())
		return
	case err != nil:
		s.refuse(w, s.unavailable("The session can't be looked up.", err))
		return
	}
	problem.JSON(w, http.StatusOK, s.view(session, time.Now()))
}

func unknown() problem.Problem {
	return problem.New(http.StatusNotFound, "session_unknown", "No such session is registered, or it ended more than 28 days ago. Revoking it works all the same.")
}
