package revocationnats

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/clocktest"
)

// A beat that lies ahead proves something of a time that nobody knows.
func TestBeatFromTheFutureIsNoProof(t *testing.T) {
	for _, tt := range []struct {
		name string
		// ahead is how far the beat lies ahead by our clock, and slept for how long the monotonic one stood still since the leader was asked.
		ahead, slept time.Duration
		proof        bool
	}{
		{"just now", 0, 0, true},
		{"long ago", -time.Hour, 0, true},
		{"as far ahead as clocks run apart", mostAhead - 200*time.Millisecond, 0, true},
		{"our clocks have stood still, or the stream's was set", 30 * time.Minute, 0, false},
		{"ahead by the clock that stood still only", 30 * time.Minute, time.Hour, true},
		{"ahead by both", 90 * time.Minute, time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			sink := &positions{}
			d := newDelivery(NewFeed(nil, Config{}), sink, 0, reading{clock: clock{ours: clocktest.Slept(t, now, -tt.slept), streams: now.Add(-tt.ahead)}})
			if err := d.take(received{at: place{3, now}, beat: true, number: 1}); err != nil {
				t.Fatal(err)
			}
			var beats, reached []uint64
			if tt.proof {
				beats = []uint64{3}
			} else {
				reached = []uint64{3}
			}
			if !slices.Equal(sink.beats, beats) || !slices.Equal(sink.reached, reached) || len(d.doubt) != len(reached) {
				t.Errorf("beats %v, reached %v, %d doubts; want %v, %v and as many", sink.beats, sink.reached, len(d.doubt), beats, reached)
			}
		})
	}
}

// The leader is asked for its time at once, and then beats are proof again.
func TestBeatFromTheFutureAsksForTheTime(t *testing.T) {
	f := ledgerOf(t, 2, nil, "")
	f.cfg.ClockInterval = time.Hour
	first, err := f.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sink := &positions{}
	d := newDelivery(f, sink, 0, first)
	wrong := first.clock
	wrong.streams = wrong.streams.Add(-30 * time.Minute)
	d.setClock(wrong)
	ctx, stop := context.WithCancelCause(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.watch(ctx, d, stop) }()
	defer func() { stop(nil); <-ended }()
	if err := d.take(beatAt(1, 1)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the time is known", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.clock != wrong
	})
	if err := d.take(beatAt(2, 2)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sink.beats, []uint64{2}) || !slices.Equal(sink.reached, []uint64{1}) {
		t.Errorf("beats %v, reached %v; want the second and the first", sink.beats, sink.reached)
	}
}
