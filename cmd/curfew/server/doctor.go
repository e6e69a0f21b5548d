package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
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
	out = append(out, freshness(st, s.cfg.StalenessBudget))
	if st.Skipped > 0 {
		out = append(out, Finding{Name: "skipped", Status: "warn", Detail: fmt.Sprintf("%d messages of the ledger hold no event that this version knows", st.Skipped),
			Hint: "does a newer version, or somebody else, publish to this stream? the log names the positions, and 'curfew parked ls' what was put aside of them"})
	}
	out = append(out, s.examineSnapshots(ctx, st)...)
	out = append(out, s.examineStore(ctx)...)
	out = append(out, s.examineAudit(ctx)...)
	out = append(out, s.examineStreams(ctx)...)
	return append(out, s.examineClock(ctx)...)
}

// freshness tells how old the replica's proof is, of how much.
func freshness(st revocation.Status, budget time.Duration) Finding {
	f := Finding{Name: "freshness", Status: "ok", Detail: fmt.Sprintf("position %d, proof %.1f s old of %v at most; remembers revoked sessions: %d, cutoffs: %d",
		st.Position, st.Staleness.Seconds(), budget, st.Sessions, st.Cutoffs)}
	if !st.Fresh {
		f.Status, f.Hint = "fail", "until it is fresh again, checks are undetermined and callers are refused: see replica above"
	}
	return f
}

// examineStore tells whether the registry's store can be reached; nothing where no role needs it.
func (s *Server) examineStore(ctx context.Context) []Finding {
	f := Finding{Name: "session store", Status: "ok", Detail: "answers"}
	switch {
	case s.store == nil && s.storeMissing == nil:
		return nil
	case s.store == nil:
		f.Status, f.Detail, f.Hint = "warn", s.storeMissing.Error(), "sessions are revoked without what the registry knows of them, until this process is started anew"
	default:
		if err := s.store.Ping(ctx); err != nil {
			f.Status, f.Detail, f.Hint = "fail", err.Error(), "is Redis up, or NATS? sessions can't be listed, and idle ones aren't ended; revoking and checking go on"
		}
	}
	return []Finding{f}
}

// examineStreams compares the streams with what they should be.
func (s *Server) examineStreams(ctx context.Context) []Finding {
	differences, err := s.bus.Differences(ctx)
	if err != nil {
		return []Finding{unanswered("streams", "fail", "couldn't be read", err)}
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

// unanswered is the finding of what NATS was asked in vain.
func unanswered(name, status, what string, err error) Finding {
	f := Finding{Name: name, Status: status, Detail: what + ": " + err.Error(), Hint: "is NATS up?"}
	var told *bus.Error
	if errors.As(err, &told) {
		f.Detail, f.Hint = what+": "+told.Op+": "+told.Err.Error(), told.Hint
	}
	return f
}
