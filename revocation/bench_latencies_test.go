package revocation

import (
	"math/bits"
	"testing"
	"time"
)

// latencies counts durations in steps of a thirty-second of their size at most, so that millions of them need little memory, and the processor's
// cache is left to what is measured. The longest is kept as it is.
type latencies struct {
	counts  [64 * latencySteps]uint32
	n       int
	longest time.Duration
}

const (
	latencyBits  = 5
	latencySteps = 1 << latencyBits
)

func (l *latencies) add(d time.Duration) {
	l.counts[latencyStep(d)]++
	l.n++
	l.longest = max(l.longest, d)
}

// latencyStep returns the number of the step that a duration belongs to. Up to 32 ns each has its own.
func latencyStep(d time.Duration) int {
	ns := uint64(max(d, 0))
	shift := max(0, bits.Len64(ns)-latencyBits-1)
	return shift<<latencyBits + int(ns>>shift)
}

// quantile returns the upper end of the step in which that part of all durations ends; 1 stands for the longest.
func (l *latencies) quantile(q float64) time.Duration {
	if q >= 1 {
		return l.longest
	}
	want, sum := int(q*float64(l.n)), 0
	for step, count := range l.counts {
		if sum += int(count); sum > want {
			shift := max(0, step>>latencyBits-1)
			return min(time.Duration(step-shift<<latencyBits+1)<<shift-1, l.longest)
		}
	}
	return l.longest
}

// What the benchmarks tell of quantiles is right to a thirty-second.
func TestLatenciesTellQuantiles(t *testing.T) {
	l := &latencies{}
	for i := range 1_000_000 {
		l.add(time.Duration(i + 1))
	}
	for _, q := range []float64{0.00001, 0.25, 0.5, 0.99, 0.999, 1} {
		got, want := float64(l.quantile(q)), q*1_000_000
		if got < want-1 || got > want*(1+1.0/latencySteps)+1 {
			t.Errorf("quantile %v is %v, want %v to a thirty-second", q, got, want)
		}
	}
	if (&latencies{}).quantile(0.5) != 0 {
		t.Error("of nothing there is a quantile")
	}
}
