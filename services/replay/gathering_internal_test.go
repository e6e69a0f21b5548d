package replay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

func limits(t *testing.T) Limits {
	t.Helper()
	feed := revocationtest.New()
	feed.Beat()
	r, err := revocation.Open(t.Context(), revocation.Config{Feed: feed, MaxAge: time.Hour, Leeway: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// TestDiffOverForgetting: what lives longer surfaces when what outranked it is forgotten, and what is forgotten is said to be so.
func TestDiffOverForgetting(t *testing.T) {
	start := time.Date(2026, 8, 4, 12, 0, 0, 0, time.UTC)
	user := func(position uint64, at, keep time.Duration) ledger.Entry {
		e := &events.UserLoggedOutEverywhere{Common: events.Common{Tenant: "acme", Time: start.Add(at), Reason: events.ReasonAdmin}, User: "ann", Cutoff: start.Add(at)}
		if keep > 0 {
			e.ExpiresAt = start.Add(keep)
		}
		return ledger.Entry{Position: position, Stored: start.Add(at), Event: e}
	}
	entries := []ledger.Entry{user(1, 0, 5*time.Hour), user(2, time.Minute, 0), user(3, 10*time.Minute, 0)}
	until := func(at time.Duration) moment {
		return moment{span: ledger.Range{Until: start.Add(at + 1)}, asOf: start.Add(at)}
	}
	for _, test := range []struct {
		from, to time.Duration
		want     []string
	}{
		{-time.Minute, 0, []string{"came 1"}},
		{0, 2 * time.Minute, []string{"came 2", "outranked 1"}},
		{2 * time.Minute, 11 * time.Minute, []string{"came 3", "outranked 2"}},
		{11 * time.Minute, 71*time.Minute - 1, nil},
		{11 * time.Minute, 71 * time.Minute, []string{"surfaced 1", "forgotten 3"}},
		{71 * time.Minute, 5*time.Hour - 1, nil},
		{71 * time.Minute, 5 * time.Hour, []string{"forgotten 1"}},
		{-time.Minute, 6 * time.Hour, nil},
	} {
		from, to := until(test.from), until(test.to)
		g := newGathering(limits(t), from, to)
		for _, entry := range entries {
			forgotten, then := g.inForce(entry)
			for k := range keysOf(entry.Event) {
				g.hold(k, entry, forgotten, then)
			}
		}
		k := key{events.KindUser, "ann"}
		var got []string
		for _, c := range changesOf(g.of(k, 0).facts(), g.of(k, 1).facts(), from, to) {
			got = append(got, fmt.Sprint(c.Change, " ", c.Position))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%v to %v: %s", test.from, test.to, diff)
		}
	}
}

// TestPagesPickTheFirst: whatever the order in which keys come, and however often, the pages are those of the sorted keys.
func TestPagesPickTheFirst(t *testing.T) {
	var all []key
	for i := range 1000 {
		all = append(all, key{events.Kinds()[i%5], fmt.Sprint(i % 700)})
	}
	slices.SortFunc(all, key.compare)
	all = slices.Compact(all)
	var got []key
	for after := (key{}); ; {
		p := pages{after: after, limit: 7}
		for range 2 {
			for _, i := range rand.Perm(len(all)) {
				p.take(all[i])
				if len(p.keys) > p.limit {
					t.Fatalf("%d keys are held", len(p.keys))
				}
			}
		}
		got = append(got, p.keys...)
		if !p.more {
			break
		}
		after = p.keys[len(p.keys)-1]
	}
	if diff := cmp.Diff(all, got, cmp.AllowUnexported(key{})); diff != "" {
		t.Error(diff)
	}
}

// TestDistinct: exact while there are few, and near it in flat memory when there are many.
func TestDistinct(t *testing.T) {
	for _, n := range []int{0, 1, exactly, exactly + 1, 1_000_000} {
		d := newDistinct()
		for i := range n {
			d.add("acme", fmt.Sprint(i))
			d.add("acme", fmt.Sprint(i/2))
		}
		got, estimated := d.count()
		if estimated != (n > exactly) || len(d.seen) > exactly {
			t.Errorf("%d: estimated is %v, of %d hashes", n, estimated, len(d.seen))
		}
		// Five standard errors.
		if off := float64(got) - float64(n); estimated && (off > 0.04*float64(n) || off < -0.04*float64(n)) || !estimated && off != 0 {
			t.Errorf("%d counted as %d", n, got)
		}
	}
}
