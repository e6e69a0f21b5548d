package chain_test

import (
	"slices"
	"testing"

	"github.com/curfewhq/curfew/internal/chain"
)

// TestWhatNoCheckpointTellsOf: where a checkpoint is missing the next one's hash alone tells that the events of both aren't as they were. It is named from where the missing one began, for nobody knows more.
func TestWhatNoCheckpointTellsOf(t *testing.T) {
	const bad = 7 // of checkpoint 3
	for name, tamper := range map[string]func(*book){
		"changed": func(k *book) { k.events[4] = entry(bad, k.events[4].Stored, "another") },
		"removed": func(k *book) { k.events = slices.Delete(k.events, 4, 5) },
		"changed, and another behind it": func(k *book) {
			k.events[4] = entry(bad, k.events[4].Stored, "another")
			k.events[6] = entry(10, k.events[6].Stored, "another")
		},
		"added": func(k *book) { k.events = slices.Insert(k.events, 6, entry(9, k.events[5].Stored, "added")) },
	} {
		t.Run(name, func(t *testing.T) {
			k := written(t)
			if k.events[4].Position != bad {
				t.Fatalf("it lies at %d", k.events[4].Position)
			}
			tamper(k)
			r := verify(t, slices.Delete(slices.Clone(k.signed), 2, 3), k.events, k.head(), k.now)
			f, ok := r.FirstBad()
			if !ok || f.Kind != chain.KindHash || f.Position != bad || f.Until < 9 {
				t.Errorf("got %+v", r.Findings)
			}
		})
	}
}
