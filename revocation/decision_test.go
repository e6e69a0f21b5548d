package revocation_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/curfewhq/curfew/revocation"
)

// What time mends is what routes may ask a gate about, or let pass: everything else must stay refused.
func TestMayMend(t *testing.T) {
	for _, tt := range []struct {
		name  string
		state revocation.State
		cause error
		want  bool
	}{
		{"not synced", revocation.Undetermined, revocation.ErrNotSynced, true},
		{"stale", revocation.Undetermined, revocation.ErrStale, true},
		{"behind", revocation.Undetermined, revocation.ErrBehind, true},
		{"stale, in other words", revocation.Undetermined, fmt.Errorf("ask again: %w", revocation.ErrStale), true},

		{"closed", revocation.Undetermined, revocation.ErrClosed, false},
		{"without a session", revocation.Undetermined, revocation.ErrMissingSession, false},
		{"without a user", revocation.Undetermined, revocation.ErrMissingUser, false},
		{"without an auth time", revocation.Undetermined, revocation.ErrMissingAuthTime, false},
		{"from the future", revocation.Undetermined, revocation.ErrAuthTimeInFuture, false},
		{"for an unknown cause", revocation.Undetermined, errors.New("replica is stale"), false},
		{"the zero decision", revocation.Undetermined, nil, false},
		{"active", revocation.Active, nil, false},
		{"revoked", revocation.Revoked, nil, false},
		{"revoked, whatever else", revocation.Revoked, revocation.ErrStale, false},
		{"a state that there isn't", 99, revocation.ErrStale, false},
	} {
		if got := (revocation.Decision{State: tt.state, Cause: tt.cause}).MayMend(); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}
