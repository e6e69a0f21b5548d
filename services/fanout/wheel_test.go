package fanout

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The wheel gives each conn once, not before it is due and not later than the time that next has told, as a plain map would.
func TestWheelIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.Int64Range(1, 3000).Draw(t, "most")
		w := newWheel(most)
		conns := make([]*conn, 20)
		for i := range conns {
			conns[i] = &conn{}
		}
		// model: conn → when it is due.
		model := map[*conn]int64{}
		left := map[*conn]bool{}
		now, told := int64(0), int64(0)
		some := rapid.SampledFrom(conns)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				c, due := some.Draw(t, "conn"), now+rapid.Int64Range(-50, most).Draw(t, "in")
				if w.put(c, due); left[c] {
					return
				}
				due = max(due, now)
				model[c] = due
				if due < told-slotMS {
					select {
					case <-w.sooner:
						told = due
					default:
						t.Fatalf("due at %d, and nobody was told who waits until %d", due, told)
					}
				}
			},
			"leave": func(t *rapid.T) {
				c := some.Draw(t, "conn")
				w.leave(c)
				delete(model, c)
				left[c] = true
			},
			"turn": func(t *rapid.T) {
				now += rapid.SampledFrom([]int64{0, 1, 9, 10, 11, 500, 5000, 100_000}).Draw(t, "pass")
				for _, c := range w.due(now) {
					due, there := model[c]
					if !there || due > now {
						t.Fatalf("at %d came a conn that is due at %d (there: %t)", now, due, there)
					}
					delete(model, c)
				}
				for _, due := range model {
					if due <= now-slotMS {
						t.Fatalf("at %d a conn that was due at %d hasn't come", now, due)
					}
				}
				in := w.next(now)
				select {
				case <-w.sooner:
				default:
				}
				told = now + in
				if len(model) == 0 {
					return
				}
				if first := slices.Min(slices.Collect(maps.Values(model))); told < first-slotMS || told > max(first, now)+2*slotMS {
					t.Fatalf("at %d next says %d, and the first is due at %d", now, told, first)
				}
			},
		})
	})
}
