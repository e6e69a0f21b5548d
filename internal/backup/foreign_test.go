package backup_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/backup"
	"github.com/curfewhq/curfew/internal/bus"
)

// TestBackupOfForeignStreams: a file that holds a stream which no backup of ours holds is none, and brings nothing into a NATS that others use too: neither a stream that takes their topics, nor one of ours that goes away by itself.
func TestBackupOfForeignStreams(t *testing.T) {
	from, _ := deployment(t)
	if _, err := from.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := from.KeyValue(t.Context(), bus.LeasesBucket()); err != nil {
		t.Fatal(err)
	}
	for _, foreign := range []string{"ORDERS", "KV_CURFEW_LEASES"} {
		var data bytes.Buffer
		if _, err := backup.Write(t.Context(), from, []string{foreign, bus.LedgerStream}, &data); err != nil {
			t.Fatal(err)
		}
		f, err := backup.Open(file(t, data.Bytes()))
		if err == nil {
			err = errors.Join(f.Verify(), f.Close())
		}
		if !errors.Is(err, backup.ErrNoBackup) {
			t.Errorf("%s: %v", foreign, err)
		}
	}
}
