package revocationnats

import (
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/clocktest"
)

func TestClockAsOf(t *testing.T) {
	ours := time.Now()
	streams := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC) // the stream's clock needn't agree with ours
	c := clock{ours: ours, streams: streams}
	for _, tt := range []struct {
		name   string
		stored time.Time
		now    time.Time
		want   time.Duration // the age that the replica gives it
	}{
		{"stored at the reading, read at once", streams, ours, 0},
		{"stored after the reading, read at once", streams.Add(3 * time.Second), ours.Add(3 * time.Second), 0},
		{"stored after the reading, read late", streams.Add(time.Second), ours.Add(4 * time.Second), 3 * time.Second},
		{"stored before the reading", streams.Add(-time.Hour), ours.Add(time.Second), time.Hour + time.Second},
		{"the stream's clock was set forward", streams.Add(time.Hour), ours.Add(time.Second), 0},
		{"the stream's clock was set back", streams.Add(-time.Hour), ours.Add(time.Second), time.Hour + time.Second},
		{"our machine slept, the beat is new", streams.Add(time.Hour), clocktest.Slept(t, ours, time.Hour), 0},
		{"our machine slept, the beat is from the middle", streams.Add(30 * time.Minute), clocktest.Slept(t, ours, time.Hour), 30 * time.Minute},
		{"our machine slept, the beat is from before", streams.Add(time.Second), clocktest.Slept(t, ours.Add(2*time.Second), time.Hour), time.Hour + time.Second},
		{"our wall clock was set back", streams.Add(time.Second), clocktest.Slept(t, ours.Add(4*time.Second), -time.Hour), 3 * time.Second},
		{"our wall clock was set forward", streams.Add(time.Second), clocktest.Slept(t, ours.Add(4*time.Second), time.Hour), time.Hour + 3*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The replica takes the larger age of both readings, at least 0; so both must have come along.
			asOf := c.asOf(tt.stored)
			if got := max(tt.now.Sub(asOf), tt.now.Round(0).Sub(asOf.Round(0)), 0); got != tt.want {
				t.Errorf("dated %v ago, want %v", got, tt.want)
			}
		})
	}
}
