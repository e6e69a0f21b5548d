package lease

import (
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/clocktest"
)

// A holder relies on neither of its clocks alone: one stands still while the machine sleeps, and the other can be set back.
func TestDeadlineByBothClocks(t *testing.T) {
	sent := time.Now()
	for _, tt := range []struct {
		name string
		now  time.Time
		want time.Duration
	}{
		{"at once", sent, 18 * time.Second},
		{"after a while", sent.Add(10 * time.Second), 8 * time.Second},
		{"too late", sent.Add(20 * time.Second), -2 * time.Second},
		{"after a sleep", clocktest.Slept(t, sent.Add(time.Second), time.Hour), 17*time.Second - time.Hour},
		{"the wall clock was set back", clocktest.Slept(t, sent.Add(10*time.Second), -time.Hour), 8 * time.Second},
	} {
		d := &deadline{ttl: ttl, sent: sent}
		if got := d.left(tt.now); got != tt.want {
			t.Errorf("%s: %v left, want %v", tt.name, got, tt.want)
		}
	}
}
