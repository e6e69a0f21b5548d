package publisher

import (
	"context"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
)

const (
	// registryTimeout is how long a revocation waits for what the registry has to add.
	registryTimeout = 250 * time.Millisecond
	// lookups is how many users of one call are looked up at a time.
	lookups = 16
)

// withKnown adds to each logout of a user the sessions that the registry knows, so that they are ended by name even where their issuer's clock runs ahead of the cutoff.
// It is asked before the cutoff is stamped: what it knows had begun by then, whatever the clocks say, and what begins later isn't among it. The batch stays as it is.
func (s *Service) withKnown(ctx context.Context, tenant string, batch []Revocation) []Revocation {
	if s.cfg.Registry == nil || !slices.ContainsFunc(batch, func(q Revocation) bool { return q.Scope == events.KindUser && q.User != "" }) {
		return batch
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), registryTimeout)
	defer cancel()
	out := slices.Clone(batch)
	var work errgroup.Group
	work.SetLimit(lookups)
	for i, q := range batch {
		if q.Scope != events.KindUser || events.IDFault(q.User) != "" {
			continue
		}
		work.Go(func() error {
			upTo := time.Unix(1<<40, 0) // whatever its clock says
			if q.Cutoff != nil {
				upTo = *q.Cutoff
			}
			known, err := s.cfg.Registry.Known(ctx, tenant, q.User, upTo)
			if err != nil {
				return err
			}
			out[i].KnownSessions = join(q.KnownSessions, known, q.Except)
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		s.cfg.Metrics.RegistryMissed.Inc()
		s.cfg.Log.WithError(err).Warn("logging out without the names of sessions: the registry can't be reached; the cutoff ends them")
	}
	return out
}

// join returns what the caller names, and of what is known as much as there is room for, but for what is excepted.
func join(named, known, except []string) []string {
	out := slices.Clone(named)
	taken := make(map[string]bool, len(named)+len(except))
	for _, id := range slices.Concat(named, except) {
		taken[id] = true
	}
	for _, id := range known {
		if !taken[id] && len(out) < events.MaxKnownSessions {
			taken[id] = true
			out = append(out, id)
		}
	}
	return out
}

// End is what may be said about the end of a session that is ended by its name.
type End struct {
	// Reason is user_logout if it is left out.
	Reason      events.Reason     `json:"reason,omitempty"`
	ReasonAdmin string            `json:"reason_admin,omitempty"`
	ReasonUser  string            `json:"reason_user,omitempty"`
	Initiator   *events.Initiator `json:"initiator,omitempty"`
}

// handleEnd revokes a session by its name, whether it is registered or not, and whether the registry can be reached or not.
func (s *Service) handleEnd(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	body, p := problem.ReadBody(w, r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	var q End
	if len(body) > 0 {
		if err := problem.DecodeStrict(body, &q); err != nil {
			s.refuse(w, problem.Malformed(err))
			return
		}
	}
	answers, _, p := s.revoke(r, key, []Revocation{q.revocation(r.PathValue("session"))}, false)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	problem.JSON(w, http.StatusOK, answers[0])
}

func (q End) revocation(session string) Revocation {
	out := Revocation{
		Scope: events.KindSession, Session: session, Reason: q.Reason, ReasonAdmin: q.ReasonAdmin, ReasonUser: q.ReasonUser, Initiator: q.Initiator,
	}
	if out.Reason == "" {
		out.Reason = events.ReasonUserLogout
	}
	if out.Initiator == nil {
		out.Initiator = &events.Initiator{Type: events.InitiatorUser}
	}
	return out
}

// withRegistered adds to the revocation of a session what the registry knows of it, unless the caller says something else: whose it is tells its user's other tabs. It looks at calls with one
// revocation, as people make them: who sends many knows whose they are, or can do without.
func (s *Service) withRegistered(ctx context.Context, tenant string, batch []Revocation) []Revocation {
	if s.cfg.Registry == nil || len(batch) != 1 || batch[0].Scope != events.KindSession || batch[0].User != "" || events.IDFault(batch[0].Session) != "" {
		return batch
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), registryTimeout)
	defer cancel()
	session, ok, err := s.cfg.Registry.Session(ctx, tenant, batch[0].Session)
	if err != nil {
		s.cfg.Metrics.RegistryMissed.Inc()
		s.cfg.Log.WithError(err).Warn("a session is revoked without its user: the registry can't be reached")
	}
	if err != nil || !ok {
		return batch
	}
	q := batch[0]
	q.User = session.User
	if q.Device == "" {
		q.Device = session.Device
	}
	if q.Client == "" {
		q.Client = session.Client
	}
	if q.AuthTime == nil {
		q.AuthTime = &session.AuthTime
	}
	return []Revocation{q}
}
