package audit_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/audit"
)

// BenchmarkLedger signs a ledger from its beginning, and verifies it. CURFEW_BENCH_EVENTS says how many events it has.
func BenchmarkLedger(b *testing.B) {
	n := 50_000
	if text := os.Getenv("CURFEW_BENCH_EVENTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	r := newRig(b, natstest.Bus(b))
	last := uint64(0)
	for left := n; left > 0; left -= 1000 {
		last = r.store(min(left, 1000))
	}
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			r.run(r.service(func(c *audit.Config) { c.Interval = time.Second }), r.signedUpTo(last))
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if got := r.verify(); got.Broken > 0 || got.Events+got.Unsigned != uint64(n) {
				b.Fatalf("%+v", got)
			}
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}
