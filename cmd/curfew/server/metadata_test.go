package server_test

import (
	"testing"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// The feed reads from the ledger's metadata what the bus writes there, and neither imports the other.
func TestFeedReadsTheMetadataOfTheBus(t *testing.T) {
	for reads, writes := range map[string]string{
		revocationnats.HashKeyMetadata: bus.HashKeyMetadata, revocationnats.RetentionMetadata: bus.RetentionMetadata,
		revocationnats.WholeSinceMetadata: bus.WholeSinceMetadata,
	} {
		if reads != writes {
			t.Errorf("the feed reads %q, and the bus writes %q", reads, writes)
		}
	}
}
