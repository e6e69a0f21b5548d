package replicas

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events/presence"
)

// ledgerOf is a wait as its words say it: a list of who has applied the position, and one of those whose word for it doesn't count, looked up for each report.
type ledgerOf struct {
	Wanted
	applied, astray []string
}

func (l *ledgerOf) hear(id, stream string, position uint64) {
	reached := stream == l.Stream && position >= l.Position
	if !reached {
		l.astray = slices.DeleteFunc(l.astray, func(other string) bool { return other == id })
	}
	if reached && !slices.Contains(l.astray, id) && !slices.Contains(l.applied, id) {
		l.applied = append(l.applied, id)
	}
}

// TestWaitAsItsWordsSay: whatever replicas report in whatever order, come, leave and are forgotten, those are counted who have said that they have applied the position, each once, and all others that are there are late.
func TestWaitAsItsWordsSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &Fleet{done: make(chan struct{}), members: map[string]*Member{}, waits: map[*wait]struct{}{}, since: time.Now(), last: time.Now()}
		there := map[string]bool{}
		var words *ledgerOf
		step := func() {
			id := fmt.Sprint("REPLICA", rapid.IntRange(1, 5).Draw(t, "replica"))
			r := presence.Report{ID: id, Name: id, Group: "g", Stream: rapid.SampledFrom([]string{"s@1", "s@2"}).Draw(t, "stream"), Position: rapid.Uint64Range(1, 12).Draw(t, "position"), BudgetMS: 15_000}
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				r.Leaving = true
			case 1:
				delete(f.members, id) // as who hasn't been heard for long
				there[id] = false
				return
			case 2, 3, 4:
				if data, err := presence.EncodeApplied(presence.Applied{ID: id, Stream: r.Stream, Position: r.Position}); err != nil {
					t.Fatal(err)
				} else if f.hearShort(&nats.Msg{Data: data}); !there[id] {
					return // who hasn't sent a whole one is nobody
				}
				if words != nil {
					words.hear(id, r.Stream, r.Position)
				}
				return
			}
			data, err := presence.EncodeReport(r)
			if err != nil {
				t.Fatal(err)
			}
			f.hear(&nats.Msg{Data: data})
			there[id] = !r.Leaving
			if words != nil {
				words.hear(id, r.Stream, r.Position)
			}
		}
		for range rapid.IntRange(0, 12).Draw(t, "steps before") {
			step()
		}
		w := &wait{Wanted: Wanted{Stream: "s@1", Position: 6}, news: make(chan struct{}, 1)}
		words = &ledgerOf{Wanted: w.Wanted}
		if rapid.Bool().Draw(t, "from its beginning") {
			w.Asked, w.Stored = time.Now(), time.Now()
		}
		for id, m := range f.members {
			if !w.Asked.IsZero() && m.Stream == w.Stream && m.Position >= w.Position {
				words.astray = append(words.astray, id)
			}
			words.hear(id, m.Stream, m.Position)
		}
		if err := f.join(w); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			step()
		}
		p := f.progress(w, time.Now())
		var applied, late, wantLate []string
		for _, a := range p.Applied {
			applied = append(applied, a.ID)
		}
		for _, m := range p.Late {
			late = append(late, m.ID)
		}
		for id, is := range there {
			if is && !slices.Contains(words.applied, id) {
				wantLate = append(wantLate, id)
			}
		}
		for _, list := range [][]string{applied, late, wantLate, words.applied} {
			slices.Sort(list)
		}
		if diff := cmp.Diff(words.applied, applied); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(wantLate, late); diff != "" {
			t.Errorf("late (-want +got):\n%s", diff)
		}
		if waits := len(wantLate) > 0 || len(words.applied) == 0; f.waitsFor(w) != waits {
			t.Errorf("it waits: %v, want %v", !waits, waits)
		}
	})
}
