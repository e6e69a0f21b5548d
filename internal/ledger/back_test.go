package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/ledger"
)

// fill stores n events: of ten users of acme and, each seventh, of globex.
func (b *book) fill(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		id, err := events.NewID()
		if err != nil {
			t.Fatal(err)
		}
		tenant := "acme"
		if i%7 == 0 {
			tenant = "globex"
		}
		e := &events.SessionRevoked{Session: fmt.Sprintf("s-%d", i), User: fmt.Sprintf("u-%d", i%10), Common: events.Common{
			ID: id, Time: time.Now(), Source: "test", Tenant: tenant, Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorSystem},
		}}
		data, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.bus.JetStream().PublishAsync(events.TopicOf(e).String(), data); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-b.bus.JetStream().PublishAsyncComplete():
	case <-time.After(time.Minute):
		t.Fatal("the ledger isn't filled after a minute")
	}
}

// TestReadBackIsReadBackwards: whatever the range, the entries are those of Read, in the other order, over several windows.
func TestReadBackIsReadBackwards(t *testing.T) {
	b := newBook(t)
	const n = 7_000
	b.fill(t, n)
	middle, err := b.bus.EventAt(t.Context(), n/2)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		q := ledger.Range{Topics: []string{rapid.SampledFrom([]string{events.TopicAll, events.TenantTopics("acme"), events.TenantTopics("globex"), events.UserTopics("acme", "u-3"), events.TenantTopics("nobody")}).Draw(rt, "topics")}}
		q.After = rapid.SampledFrom([]uint64{0, 1, 1_999, 4_321, n - 1, n, n + 5}).Draw(rt, "after")
		q.Before = rapid.SampledFrom([]uint64{0, 1, 2, 2_001, 4_322, 5_000, n, n + 1, n + 9}).Draw(rt, "before")
		q.Since = rapid.SampledFrom([]time.Time{{}, middle.Time, middle.Time.Add(-time.Hour), middle.Time.Add(time.Hour)}).Draw(rt, "since")
		q.Until = rapid.SampledFrom([]time.Time{{}, middle.Time, middle.Time.Add(-time.Hour), middle.Time.Add(time.Hour)}).Draw(rt, "until")
		divisor := rapid.SampledFrom([]uint64{1, 2, 1000}).Draw(rt, "kept")
		keep := func(e ledger.Entry) bool { return e.Position%divisor == 0 }
		var want, got []uint64
		if err := b.Read(context.Background(), q, func(e ledger.Entry) error {
			if keep(e) {
				want = append(want, e.Position)
			}
			return nil
		}, nil); err != nil {
			rt.Fatal(err)
		}
		if err := b.ReadBack(context.Background(), q, keep, func(e ledger.Entry) error {
			got = append(got, e.Position)
			return nil
		}); err != nil {
			rt.Fatal(err)
		}
		slices.Reverse(got)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("(-Read +ReadBack):\n%s", diff)
		}
	})
	b.mustBeClean(t)
}

func TestReadBackStops(t *testing.T) {
	b := newBook(t)
	b.fill(t, 10)
	q := ledger.Range{Topics: []string{events.TopicAll}}
	var got []uint64
	stop := func(end error) error {
		return b.ReadBack(t.Context(), q, nil, func(e ledger.Entry) error {
			if got = append(got, e.Position); len(got) == 3 {
				return end
			}
			return nil
		})
	}
	if err := stop(ledger.ErrStop); err != nil || !slices.Equal(got, []uint64{10, 9, 8}) {
		t.Errorf("%v, %v", got, err)
	}
	got = nil
	own := errors.New("mine")
	if err := stop(own); !errors.Is(err, own) {
		t.Error(err)
	}
	if err := b.ReadBack(t.Context(), ledger.Range{Topics: q.Topics, Follow: true}, nil, nil); err == nil {
		t.Error("a range without an end was read back")
	}
	other := ledger.NewReader(b.bus.JetStream(), "NOBODY")
	if err := other.ReadBack(t.Context(), q, nil, nil); err == nil {
		t.Error("a stream that isn't there was read back")
	}
}
