package publisher

import (
	"fmt"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
)

// Preview is what a revocation would do. Nothing was done.
type Preview struct {
	Tenant   string        `json:"tenant"`
	Scope    events.Kind   `json:"scope"`
	Cutoff   time.Time     `json:"cutoff,omitzero"`
	Sessions CrowdSessions `json:"sessions"`
	Tabs     CrowdTabs     `json:"tabs"`
	Logins   Logins        `json:"logins"`
	// Approval says why a second person would have to approve it; empty where nobody would.
	Approval string `json:"approval,omitempty"`
}

// handlePreview tells what a revocation would do. It takes what POST /v1/revocations takes, but no array, and refuses what that refuses.
func (s *Service) handlePreview(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	if r.URL.RawQuery != "" {
		s.refuse(w, problem.New(http.StatusBadRequest, "unknown_parameter", "This call knows no parameters."))
		return
	}
	var q Revocation
	if p := problem.Read(w, r, &q); p.Status != 0 {
		s.refuse(w, p)
		return
	}
	evs, p := s.eventsOf(r, key, []Revocation{q}, false)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	e := evs[0]
	c := s.crowdOf(r.Context(), e)
	cutoff, _ := events.Cutoff(e)
	problem.JSON(w, http.StatusOK, Preview{
		Tenant: key.Tenant, Scope: e.Kind(), Cutoff: cutoff, Sessions: c.sessions, Tabs: c.tabs, Logins: c.logins, Approval: s.heldBy(e, c),
	})
}

// heldBy says why a second person has to approve an event; empty where nobody has to. What ends one person's sessions, or one device's, is never held up.
func (s *Service) heldBy(e events.Event, c crowd) string {
	if !s.mayHold(e) {
		return ""
	}
	n, sure := c.size()
	switch {
	case n > s.cfg.ApprovalThreshold && sure:
		return fmt.Sprintf("it ends %d sessions, and above %d a second person approves", n, s.cfg.ApprovalThreshold)
	case n > s.cfg.ApprovalThreshold:
		return fmt.Sprintf("it ends at least %d sessions, and above %d a second person approves", n, s.cfg.ApprovalThreshold)
	case !sure:
		return fmt.Sprintf("it isn't known how many sessions it ends, and above %d a second person approves", s.cfg.ApprovalThreshold)
	case e.Kind() == events.KindTenant:
		return "it logs out a whole tenant, which a second person approves"
	}
	return ""
}

// mayHold reports whether an event is of those that are held up.
func (s *Service) mayHold(e events.Event) bool {
	return s.cfg.ApprovalThreshold > 0 && s.cfg.Crowd != nil && (e.Kind() == events.KindTenant || e.Kind() == events.KindClient)
}
