package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/clocktest"
	"github.com/curfewhq/curfew/internal/ledger"
)

// beat stores a beat.
func (b *book) beat(t *testing.T) {
	t.Helper()
	if _, err := b.bus.JetStream().Publish(t.Context(), events.TopicBeat, []byte("{}")); err != nil {
		t.Fatal(err)
	}
}

func TestHead(t *testing.T) {
	b := newBook(t)
	if c := b.Clock(); c != (ledger.Clock{}) {
		t.Errorf("a clock before anybody was asked: %+v", c)
	}
	empty, err := b.Head(t.Context())
	if err != nil || empty.Last != 0 || empty.First > 1 || !empty.WholeSince.Before(time.Now().Add(-30*24*time.Hour)) {
		t.Errorf("an empty ledger: %+v, %v", empty, err)
	}
	b.store(t, "acme", "ann", "s1")
	b.store(t, "acme", "ann", "s2")
	h, err := b.Head(t.Context())
	if err != nil || h.First != 1 || h.Last != 2 || !h.Made.Equal(empty.Made) || b.Clock() != h.Clock {
		t.Errorf("%+v, %v", h, err)
	}
	// One machine has one clock.
	if now := time.Now(); h.Clock.Ours.After(h.Clock.Streams) || h.Clock.Now(now).Before(now.Add(-time.Minute)) {
		t.Errorf("the clock is %+v at %v", h.Clock, now)
	}
	if err := b.bus.JetStream().DeleteStream(t.Context(), bus.LedgerStream); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Head(t.Context()); err == nil {
		t.Error("a stream that is gone has a head")
	}
	if err := b.bus.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := b.Head(t.Context()); err != nil || again.Made.Equal(h.Made) {
		t.Errorf("made anew: %+v, %v", again, err)
	}
}

// Beats come between the events, in their place, and each entry tells how many lie behind it.
func TestReadBeats(t *testing.T) {
	b := newBook(t)
	b.store(t, "acme", "ann", "s1")   // 1
	b.beat(t)                         // 2
	b.store(t, "globex", "ann", "s2") // 3
	b.store(t, "acme", "ann", "s3")   // 4
	b.beat(t)                         // 5
	var positions, pending []uint64
	beats := 0
	err := b.Read(t.Context(), ledger.Range{Topics: []string{events.TenantTopics("acme"), events.TopicBeat}}, func(e ledger.Entry) error {
		positions, pending = append(positions, e.Position), append(pending, e.Pending)
		if e.Beat {
			beats++
		}
		if e.Beat == (e.Event != nil) || e.Err != nil {
			t.Errorf("%d: beat %t, event %v, error %v", e.Position, e.Beat, e.Event, e.Err)
		}
		return nil
	}, nil)
	if err != nil || beats != 2 {
		t.Errorf("%d beats, %v", beats, err)
	}
	for i, want := range []uint64{1, 2, 4, 5} {
		if positions[i] != want || pending[i] != uint64(3-i) {
			t.Fatalf("positions %v, pending %v", positions, pending)
		}
	}
}

// A reading that waits for beats ends when none come, and not because none of its other topics have news.
func TestReadEndsInSilence(t *testing.T) {
	b := newBook(t)
	b.beat(t)
	span := ledger.Range{Topics: []string{events.TenantTopics("acme"), events.TopicBeat}, Follow: true, Silence: 300 * time.Millisecond}
	seen, began := 0, time.Now()
	err := b.Read(t.Context(), span, func(ledger.Entry) error {
		if seen++; seen < 5 {
			b.beat(t)
		}
		return nil
	}, nil)
	if took := time.Since(began); !errors.Is(err, ledger.ErrSilent) || seen != 5 || took < span.Silence {
		t.Errorf("%d messages in %v, and then %v", seen, took, err)
	}
	b.mustBeClean(t)
}

// A message is as old as the ledger's clock says, whatever ours has done since the ledger was asked; see ADR 0018.
func TestClockAge(t *testing.T) {
	now := time.Now()
	hour := time.Hour
	// The ledger's clock is five hours ahead of ours. It was asked ten minutes ago.
	asked := now.Add(-10 * time.Minute)
	streams := asked.Add(5 * hour).Round(0)
	tests := []struct {
		name string
		// ours is when the ledger was asked, as our two clocks have it by now.
		ours   time.Time
		stored time.Time
		want   time.Duration
	}{
		{"just now", asked, streams.Add(10 * time.Minute), 0},
		{"a minute ago", asked, streams.Add(9 * time.Minute), time.Minute},
		{"before it was asked", asked, streams.Add(-time.Minute), 11 * time.Minute},
		{"we slept for an hour since it was asked", clocktest.Slept(t, asked, -hour), streams.Add(10 * time.Minute), hour},
		{"our clock was set back by an hour", clocktest.Slept(t, asked, hour), streams.Add(9 * time.Minute), time.Minute},
		{"it lies ahead by both", asked, streams.Add(12 * time.Minute), -2 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (ledger.Clock{Ours: tt.ours, Streams: streams}).Age(tt.stored, now); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
