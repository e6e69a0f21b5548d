package console

import (
	"net/http"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/replicas"
)

// Member is a replica as the page shows it.
type Member struct {
	// ID is the replica's own, made anew at each start of its process.
	ID      string `json:"id"`
	Name    string `json:"name"`
	Group   string `json:"group"`
	Version string `json:"version,omitempty"`
	// Position, Fresh and StalenessMS are its last report's. StalenessMS is negative if it has no proof.
	Position    uint64    `json:"position"`
	Fresh       bool      `json:"fresh"`
	StalenessMS int64     `json:"staleness_ms"`
	HeardAt     time.Time `json:"heard_at"`
	// BudgetMS is the oldest proof with which it answers active; LeaseMS is for how long after HeardAt the report stands.
	BudgetMS int64 `json:"budget_ms"`
	LeaseMS  int64 `json:"lease_ms"`
	// Ended is whether its lease has run out: from FailsClosedAt on it answers undetermined, if it is there at all.
	Ended         bool      `json:"ended"`
	FailsClosedAt time.Time `json:"fails_closed_at"`
}

// handleFleet tells of every replica that reports, of whatever service. Whoever isn't an operator sees numbers in place of names, which tell of machines and of what else the deployment runs.
func (s *Service) handleFleet(w http.ResponseWriter, _ *http.Request, who operator) {
	members := []Member{}
	for i, m := range s.cfg.Fleet.Members() {
		member := memberOf(m)
		if !who.key.Has(access.ScopeOperator) {
			member.ID, member.Name, member.Group, member.Version = strconv.Itoa(i+1), strconv.Itoa(i+1), "", ""
		}
		members = append(members, member)
	}
	problem.JSON(w, http.StatusOK, map[string]any{"now": time.Now().UTC(), "members": members})
}

func memberOf(m replicas.Member) Member {
	return Member{
		ID: m.ID, Name: m.Name, Group: m.Group, Version: m.Version, Position: m.Position, Fresh: m.Fresh, StalenessMS: m.StalenessMS, HeardAt: m.Heard.UTC(),
		BudgetMS: m.BudgetMS, LeaseMS: m.Lease().Milliseconds(), Ended: m.Ended, FailsClosedAt: m.FailsClosedSince().UTC(),
	}
}
