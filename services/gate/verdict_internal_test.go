package gate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/revocation"
)

// A replica without any proof says so with a nanosecond below zero, which mustn't be rounded to the best proof there is.
func TestVerdictWithoutProof(t *testing.T) {
	got := verdict(revocation.Decision{Staleness: -1, Cause: revocation.ErrNotSynced})
	want := Verdict{State: "undetermined", Cause: "replica isn't synced yet", StalenessMS: -1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
}
