package revocation_test

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// What a snapshot says of itself is what Save has returned, and its position is the last event's, which beats don't move.
func TestReadSnapshotInfo(t *testing.T) {
	feed := revocationtest.New()
	feed.AutoBeat(10 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	path := filepath.Join(t.TempDir(), "replica.snapshot")
	open := func() *revocation.Replica {
		t.Helper()
		r, err := revocation.Open(ctx, revocation.Config{Feed: feed, SnapshotFile: path})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		return r
	}
	r := open()
	if got := r.Status().LastEvent; got != 0 {
		t.Errorf("the last event lies at %d before there was one", got)
	}
	last := feed.Publish(&events.SessionRevoked{
		Common: events.Common{
			ID: "01890a5d-ac96-774b-bcce-000000000001", Time: time.Now(), Source: "test", Tenant: events.DefaultTenant, Reason: events.ReasonAdmin,
			Initiator: events.Initiator{Type: events.InitiatorSystem},
		},
		Session: "s",
	})
	if err := r.WaitFor(ctx, feed.Beat()); err != nil {
		t.Fatal(err)
	}
	if s := r.Status(); s.LastEvent != last || s.Position <= last {
		t.Errorf("the last event lies at %d and the position is %d, want %d and more", s.LastEvent, s.Position, last)
	}
	want, err := r.Save(ctx, revocation.SnapshotFile(path))
	if err != nil {
		t.Fatal(err)
	}
	in, err := revocation.SnapshotFile(path).Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	want.Bytes = 0
	if got, err := revocation.ReadSnapshotInfo(in); err != nil || got != want || got.Position != last || got.Entries != 1 {
		t.Errorf("ReadSnapshotInfo = %+v, %v, want %+v at %d", got, err, want, last)
	}
	if rest, err := io.ReadAll(in); err != nil || len(rest) == 0 {
		t.Errorf("%d bytes are left (%v), want what follows the beginning", len(rest), err)
	}
	_ = r.Close()
	if got := open().Status().LastEvent; got != last {
		t.Errorf("the last event lies at %d for who began from the snapshot, want %d", got, last)
	}
	for _, b := range []string{"", "CURFEWRS", strings.Repeat("x", 1000)} {
		if got, err := revocation.ReadSnapshotInfo(strings.NewReader(b)); !errors.Is(err, revocation.ErrSnapshotCorrupt) {
			t.Errorf("ReadSnapshotInfo(%.10q) = %+v, %v, want ErrSnapshotCorrupt", b, got, err)
		}
	}
}
