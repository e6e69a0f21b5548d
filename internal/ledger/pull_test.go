package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/ledger"
)

// delivered is how many messages the server has sent to the stream's only consumer.
func (b *book) delivered(t *testing.T) (n uint64) {
	t.Helper()
	stream, err := b.bus.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	for info := range stream.ListConsumers(t.Context()).Info() {
		n = max(n, info.Delivered.Consumer)
	}
	return n
}

// TestSlowReader: whoever takes its time has as much waiting as was asked for, and loses nothing of it.
func TestSlowReader(t *testing.T) {
	b := newBook(t)
	const n = 6_000
	b.fill(t, n)
	seen := 0
	err := b.Read(t.Context(), ledger.Range{Topics: []string{events.TopicAll}}, func(ledger.Entry) error {
		if seen++; seen%101 != 0 {
			return nil
		}
		// Until the server has sent all that it was asked for.
		deadline := time.After(20 * time.Second)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for last := b.delivered(t); ; {
			select {
			case <-tick.C:
			case <-deadline:
				return fmt.Errorf("the server goes on after %d", last)
			}
			now := b.delivered(t)
			if now == last && now >= uint64(seen) {
				return nil
			}
			last = now
		}
	}, nil)
	if err != nil || seen != n {
		t.Errorf("%d of %d were read: %v", seen, n, err)
	}
}

// TestDenseRange: a tenant that has most of a long ledger is read with the others' events in between, and told without them.
func TestDenseRange(t *testing.T) {
	b := newBook(t)
	const n = 30_000
	b.fill(t, n)
	for tenant, topics := range map[string]string{"acme": events.TenantTopics("acme"), "globex": events.TenantTopics("globex"), "": events.TopicAll} {
		var got, want []uint64
		for i := range uint64(n) {
			if tenant == "" || (i%7 == 0) == (tenant == "globex") {
				want = append(want, i+1)
			}
		}
		err := b.Read(t.Context(), ledger.Range{Topics: []string{topics}}, func(e ledger.Entry) error {
			if tenant != "" && e.Event.Meta().Tenant != tenant {
				t.Fatalf("%s is told an event of %s", tenant, e.Event.Meta().Tenant)
			}
			got = append(got, e.Position)
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: (-want +got):\n%s", tenant, diff)
		}
	}
	b.mustBeClean(t)
}
