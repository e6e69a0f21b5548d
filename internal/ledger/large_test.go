package ledger_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/ledger"
)

// large stores n events of a quarter of a megabyte each.
func (b *book) large(t *testing.T, n int) {
	t.Helper()
	known := make([]string, events.MaxKnownSessions)
	for i := range known {
		known[i] = fmt.Sprintf("%s %d", strings.Repeat("x", 240), i)
	}
	for range n {
		id, err := events.NewID()
		if err != nil {
			t.Fatal(err)
		}
		e := &events.UserLoggedOutEverywhere{User: "ann", Cutoff: events.Floor(time.Now()), KnownSessions: known, Common: events.Common{
			ID: id, Time: time.Now(), Source: "test", Tenant: "acme", Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorSystem},
		}}
		data, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		b.raw(t, events.TopicOf(e).String(), data)
	}
}

// TestReadBackOfLargeEvents: a window is of thousands of positions, and an event may be of half a megabyte. What is held of it is bounded, and nothing is lost or told twice for that.
func TestReadBackOfLargeEvents(t *testing.T) {
	b := newBook(t)
	const n = 300
	b.large(t, n)
	q := ledger.Range{Topics: []string{events.TopicAll}}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, held := heap(), uint64(0)
	stop := errors.New("enough")
	if err := b.ReadBack(t.Context(), q, nil, func(ledger.Entry) error { held = heap(); return stop }); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if grown := (int64(held) - int64(before)) >> 20; grown > 48 {
		t.Errorf("to tell the newest of %d events, %d MiB are held", n, grown)
	}
	var want, got []uint64
	for i := range uint64(n) {
		want = append(want, n-i)
	}
	if err := b.ReadBack(t.Context(), q, nil, func(e ledger.Entry) error { got = append(got, e.Position); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	b.mustBeClean(t)
}
