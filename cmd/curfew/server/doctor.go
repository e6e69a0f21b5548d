package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/internal/problem"
)

// Finding is one thing that doctor looked at.
type Finding struct {
	Name string `json:"name"`
	// Status is ok, warn or fail.
	Status string `json:"status"`
	Detail string `json:"detail"`
	// Hint is what to do, for warn and fail.
	Hint string `json:"hint,omitempty"`
}

// Findings are the answer of /doctor.
type Findings struct {
	Findings []Finding `json:"findings"`
}

func (s *Server) handleDoctor(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	problem.JSON(w, http.StatusOK, Findings{Findings: s.examine(ctx)})
}

// examine looks at what the process can see of itself.
func (s *Server) examine(ctx context.Context) []Finding {
	ready := s.readiness()
	var out []Finding
	hints := map[string]string{
		"lifecycle":    "wait; if it stays, look into the log",
		"replica":      "is NATS up, and does a process with the role publisher write beats?",
		"ledger_write": "is the disk full, or NATS down? the log tells",
	}
	for _, name := range []string{"lifecycle", "replica", "ledger_write"} {
		detail, looked := ready.Checks[name]
		if !looked {
			continue
		}
		f := Finding{Name: name, Status: "ok", Detail: detail}
		if f.Detail != "ok" {
			f.Status, f.Hint = "fail", hints[name]
		}
		out = append(out, f)
	}
	if !s.health.started.Load() {
		return out
	}
	st := s.replica.Status()
	out = append(out, Finding{Name: "freshness", Status: "ok", Detail: fmt.Sprintf("position %d, proof %.1f s old, %d sessions and %d cutoffs remembered",
		st.Position, st.Staleness.Seconds(), st.Sessions, st.Cutoffs)})
	if st.Skipped > 0 {
		out = append(out, Finding{Name: "skipped", Status: "warn", Detail: fmt.Sprintf("%d messages of the ledger hold no event that this version knows", st.Skipped),
			Hint: "does a newer version, or somebody else, publish to this stream? the log names the positions"})
	}
	out = append(out, s.examineSnapshots(ctx, st)...)
	return append(out, s.examineStreams(ctx)...)
}

// examineStreams compares the streams with what they should be.
func (s *Server) examineStreams(ctx context.Context) []Finding {
	differences, err := s.bus.Differences(ctx)
	if err != nil {
		return []Finding{{Name: "streams", Status: "fail", Detail: "couldn't be read: " + err.Error(), Hint: "is NATS up?"}}
	}
	if len(differences) == 0 {
		return []Finding{{Name: "streams", Status: "ok", Detail: "as they should be"}}
	}
	var out []Finding
	for _, d := range differences {
		f := Finding{Name: "streams", Status: "warn", Detail: d.String(), Hint: "nothing is broken; 'nats stream edit " + d.Stream + "' changes it"}
		if d.Breaks != "" {
			f.Status, f.Hint = "fail", "set it right before you trust the ledger: 'nats stream edit "+d.Stream+"', or move the ledger"
		}
		out = append(out, f)
	}
	return out
}
