package publisher

import (
	"errors"
	"fmt"
	"testing"

	"github.com/curfewhq/curfew/internal/bus"
)

func TestProblemOf(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		status int
		code   string
		retry  bool
	}{
		{name: "not stored", err: bus.ErrNotStored, status: 503, code: "not_stored", retry: true},
		{name: "unknown", err: bus.ErrUnknownOutcome, status: 503, code: "outcome_unknown", retry: true},
		{name: "full", err: fmt.Errorf("%w: %w", bus.ErrNotStored, bus.ErrFull), status: 503, code: "ledger_full", retry: true},
		// What was sent to a server whose disk has filled up meanwhile may be stored. It was reported as not stored.
		{name: "unknown and full", err: fmt.Errorf("%w: %w", bus.ErrUnknownOutcome, bus.ErrFull), status: 503, code: "outcome_unknown", retry: true},
		{name: "invalid", err: fmt.Errorf("%w: %w", bus.ErrNotStored, bus.ErrInvalid), status: 422, code: "event_too_large"},
		{name: "reused", err: errKeyReused, status: 409, code: "idempotency_key_reused"},
		{name: "anything else", err: errors.New("?"), status: 503, code: "not_stored", retry: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := problemOf(tt.err, 0, 1, call{})
			if p.Status != tt.status || p.Code != tt.code || p.Retry != tt.retry {
				t.Errorf("got %d %s retry=%v", p.Status, p.Code, p.Retry)
			}
		})
	}
}
