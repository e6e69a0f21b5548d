package server

import (
	"context"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/internal/chain"
)

// examineAudit looks at the last checkpoint of the ledger; nothing in processes without the role. It doesn't verify the chain: that takes a copy that this process can't have changed.
func (s *Server) examineAudit(ctx context.Context) []Finding {
	if s.openCheckpoint == nil {
		return nil
	}
	f := Finding{Name: "audit", Status: "ok"}
	warn := func(detail, hint string) []Finding {
		f.Status, f.Detail, f.Hint = "warn", detail, hint
		return []Finding{f}
	}
	const verify = "'curfew audit verify' tells what isn't as it was signed"
	data, number, err := s.bus.LastCheckpoint(ctx)
	switch {
	case err != nil:
		return warn("the last checkpoint can't be read: "+err.Error(), "is NATS up?")
	case data == nil && time.Since(s.started) < chain.DefaultMaxGap:
		f.Detail = "no checkpoint yet"
		return []Finding{f}
	case data == nil:
		return warn("there is no checkpoint of the ledger", "does the log of a process with the role audit tell why?")
	}
	payload, _, err := s.openCheckpoint(string(data))
	if err != nil {
		return warn(fmt.Sprintf("checkpoint %d isn't signed by this deployment: %v", number, err), verify)
	}
	last, err := chain.Decode(payload)
	if err != nil {
		return warn(fmt.Sprintf("checkpoint %d: %v", number, err), verify)
	}
	age := time.Since(last.Time)
	f.Detail = fmt.Sprintf("checkpoint %d, %v old, of %d events up to position %d", number, age.Round(time.Second), last.Events, last.Position)
	if age > chain.DefaultMaxGap {
		return warn(f.Detail, "no checkpoints are made: does the log of a process with the role audit tell why?")
	}
	return []Finding{f}
}
