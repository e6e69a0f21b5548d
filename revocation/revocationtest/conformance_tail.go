package revocationtest

import (
	"fmt"
	"testing"
)

func reachesRemovedTail(t *testing.T, h Harness) {
	kept := h.Publish(event(1))
	h.Beat()
	last := h.Beat()
	h.RemoveLast()
	h.RemoveLast()
	for _, after := range []uint64{0, kept} {
		t.Run(fmt.Sprintf("after %d", after), func(t *testing.T) {
			r := newRecorder(after)
			f := follow(t, h.Feed(), r)
			r.wait(t, "the end", func(calls []call) bool { return position(calls) >= last })
			f.stop(t)
			calls := r.all()
			if got := calls[len(calls)-1]; got.what != "reach" || got.place.Position != last {
				t.Errorf("last call is %s %d, want reach %d", got.what, got.place.Position, last)
			}
		})
	}
}

func reachesEmptied(t *testing.T, h Harness) {
	last := h.Beat()
	h.RemoveLast()
	o := startOpen(t, h.Feed())
	if got := o.waitSynced(t); got != last {
		t.Errorf("synced at %d, want %d", got, last)
	}
	beat := h.Beat()
	replica, err := o.wait(t)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if got := replica.Status(); got.Position != beat || !got.Synced || !got.Fresh {
		t.Errorf("position %d, synced %t, fresh %t; want %d, synced and fresh", got.Position, got.Synced, got.Fresh, beat)
	}
}
