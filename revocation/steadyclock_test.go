package revocation

import (
	"testing"
	"time"
)

func TestSteadyClock(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	type reading struct {
		// wall and mono are what the clocks say, and want what is believed, all since the start.
		wall, mono, want time.Duration
	}
	for _, tt := range []struct {
		name     string
		readings []reading
	}{
		{"right", []reading{{0, 0, 0}, {time.Minute, time.Minute, time.Minute}, {day, day, day}}},
		{"adjusted by a little", []reading{{0, 0, 0}, {100 * time.Second, time.Minute, 100 * time.Second}}},
		{"ahead at the start", []reading{{day, 0, day}, {day + time.Minute, time.Minute, day + time.Minute}, {time.Hour, time.Hour, time.Hour}}},
		{"ahead for a while", []reading{{0, 0, 0}, {day, time.Minute, time.Minute}, {day + time.Hour, time.Hour, time.Hour}, {2 * time.Hour, 2 * time.Hour, 2 * time.Hour}}},
		{"ahead twice for a while", []reading{
			{0, 0, 0}, {day, time.Minute, time.Minute}, {2 * time.Minute, 2 * time.Minute, 2 * time.Minute},
			{day, 62 * time.Minute, 62 * time.Minute}, {day, 121 * time.Minute, 121 * time.Minute}, {day, 122 * time.Minute, day},
		}},
		{"slept", []reading{{0, 0, 0}, {day, time.Minute, time.Minute}, {day + time.Hour, 61 * time.Minute, day + time.Hour}, {day + 2*time.Hour, 121 * time.Minute, day + 2*time.Hour}}},
		{"set back, and right again", []reading{{day, 0, day}, {time.Minute, time.Minute, time.Minute}, {day + time.Hour, time.Hour, time.Hour}, {day + 2*time.Hour, 2 * time.Hour, day + 2*time.Hour}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c steadyClock
			for i, r := range tt.readings {
				if got := c.at(start.Add(r.wall), r.mono).Sub(start); got != r.want {
					t.Errorf("reading %d: %v after the start, want %v", i, got, r.want)
				}
			}
		})
	}
}
