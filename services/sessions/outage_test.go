package sessions_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/curfewhq/curfew/internal/redistest"
	"github.com/curfewhq/curfew/services/sessions"
)

// back is the line that tells that the registry is, and for how long it wasn't.
var back = regexp.MustCompile(`level=info msg="the session registry is back" duration_ms=(\d+)`)

// TestRedisIsBack is told once for each time that it was away, also from before the start, with for how long. Idle sessions are spoken of where there are any.
func TestRedisIsBack(t *testing.T) {
	const idle, old = `level=error msg="idle sessions aren't ended: `, `level=warning msg="the tabs of sessions past their end aren't told: `
	for _, test := range []struct {
		name   string
		timing sessions.Timing
		want   string
		never  string
	}{
		{"with an idle timeout", sessions.Timing{IdleTimeout: time.Hour}, idle, old},
		{"without", sessions.Timing{}, old, "idle"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := redistest.Start(t)
			server.Stop()
			d := newDesk(t, ledgerBus(t), redisStore(server), test.timing, nil)
			looks := func(result string) float64 { return testutil.ToFloat64(d.metrics.Sweeps.WithLabelValues(result)) }
			began := time.Now()
			d.sweep(t)
			for turn := 1; turn <= 2; turn++ {
				await(t, "it is told that Redis is away", func() bool { return strings.Count(d.log.String(), test.want) == turn })
				failed := looks("failed")
				await(t, "more looks", func() bool { return looks("failed") >= failed+10 })
				server.Start(t)
				await(t, "it is told that Redis is back", func() bool { return len(back.FindAllString(d.log.String(), -1)) >= turn })
				worked := looks("ok")
				await(t, "more looks", func() bool { return looks("ok") >= worked+3 })
				said := back.FindAllStringSubmatch(d.log.String(), -1)
				if len(said) != turn || strings.Count(d.log.String(), test.want) != turn {
					t.Fatalf("told %d times that it is back, want %d:\n%s", len(said), turn, d.log)
				}
				// Between ten looks lie nine times half of the interval at least.
				ms, err := strconv.Atoi(said[turn-1][1])
				if away := time.Duration(ms) * time.Millisecond; err != nil || away < 40*time.Millisecond || away > time.Since(began) {
					t.Errorf("away for %v (%v), and it was %v at most", away, err, time.Since(began))
				}
				began = time.Now()
				server.Stop()
			}
			if said := d.log.String(); strings.Contains(said, test.never) {
				t.Errorf("%q is in the log:\n%s", test.never, said)
			}
		})
	}
}
