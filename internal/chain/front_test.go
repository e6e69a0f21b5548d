package chain_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/chain"
)

// first makes the only checkpoint of a chain over a ledger that begins with e, some time after it was made.
func first(t *testing.T, made time.Time, e chain.Entry, after time.Duration) chain.Signed {
	t.Helper()
	b := chain.Begin("chain-1", chain.CauseFirst, made, e.Position)
	if err := b.Add(e); err != nil {
		t.Fatal(err)
	}
	payload, err := b.Checkpoint(chain.Seal{Number: 1, Time: made.Add(after), Retention: retention}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return chain.Signed{Number: 1, Token: string(payload)}
}

// TestAllCheckpointsWereTakenAway: whoever can write the disk, and can't sign, changes an event and takes every checkpoint away. The process makes a first chain over what it finds, and
// that comes late.
func TestAllCheckpointsWereTakenAway(t *testing.T) {
	changed := entry(1, epoch.Add(time.Second), "changed")
	for _, tt := range []struct {
		name   string
		after  time.Duration
		maxGap time.Duration
		from   uint64
		want   []string
	}{
		{"soon after the ledger was made", 15 * time.Second, 0, 0, []string{}},
		{"three weeks after", 21 * 24 * time.Hour, 0, 0, []string{"gap 1"}},
		{"a minute later than is allowed", 6 * time.Minute, 5 * time.Minute, 0, []string{"gap 1"}},
		{"it is known", 21 * 24 * time.Hour, 0, 1, []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := epoch.Add(tt.after + time.Second)
			w := chain.Judge([]chain.Signed{first(t, epoch, changed, tt.after)}, chain.Trust{Open: unsigned, Now: now, MaxGap: tt.maxGap, From: tt.from}).Walk(chain.Head{Made: epoch, First: 1, Last: 1})
			if err := w.Entry(changed); err != nil {
				t.Fatal(err)
			}
			r := w.Report()
			if diff := cmp.Diff(tt.want, found(r)); diff != "" {
				t.Error(diff)
			}
			if len(r.Findings) > 0 && (!r.Findings[0].From.Equal(epoch) || !r.Findings[0].To.Equal(epoch.Add(tt.after))) {
				t.Errorf("%+v", r.Findings[0])
			}
		})
	}
}

// TestAddedInFront: retention removes from the front and never adds, so an event before the first position that a chain tells of is named, and isn't counted.
func TestAddedInFront(t *testing.T) {
	e := entry(1000, epoch.Add(time.Second), "signed")
	added := entry(500, epoch, "added")
	trust := chain.Trust{Open: unsigned, Now: epoch.Add(time.Minute)}
	signed := []chain.Signed{first(t, epoch, e, 15*time.Second)}
	verify := func(events []chain.Entry, trust chain.Trust) chain.Report {
		trail := chain.Judge(signed, trust)
		begin := trail.Begin(epoch)
		w := trail.Walk(chain.Head{Made: epoch, First: events[0].Position, Last: 1000})
		for _, e := range slices.DeleteFunc(slices.Clone(events), func(e chain.Entry) bool { return e.Position <= begin }) {
			if err := w.Entry(e); err != nil {
				t.Fatal(err)
			}
		}
		return w.Report()
	}
	r := verify([]chain.Entry{added, e}, trust)
	if bad, is := r.FirstBad(); !is || bad.Kind != chain.KindAdded || bad.Position != 500 || bad.Checkpoint != 1 || r.Broken != 1 || r.Events != 1 || r.Unsigned != 0 {
		t.Errorf("%+v", r)
	}
	if r := verify([]chain.Entry{e}, trust); r.Broken+r.Doubts != 0 || r.Events != 1 {
		t.Errorf("nothing was added: %+v", r)
	}
	trust.From = 1
	if r := verify([]chain.Entry{added, e}, trust); r.Broken+r.Doubts != 0 || r.Events != 1 {
		t.Errorf("what was before is known: %+v", r)
	}
}
