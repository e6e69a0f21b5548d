package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	var out bytes.Buffer
	f := figures{out: &out, found: map[string][]float64{}}
	for _, v := range []float64{10_000, 8000, 9500} {
		f.add("storm/handshakes", v)
	}
	f.add("everyone/told", 0.75)
	f.add("memory/goroutines", 1)
	f.table()
	for _, want := range []string{
		"BenchmarkFanout/storm/handshakes\t1\t10000 /s\n", "BenchmarkFanout/memory/goroutines\t1\t1 n\n",
		"| storm: tabs that come back, until ready | ≥ 9000 /s | 9500 /s (8000 to 10000, n=3) | yes |\n",
		"| everyone: from the first gateway's applied to the last notice | ≤ 0.6 s | 0.75 s | no |\n",
		"| a tab: goroutines | – | 1 | – |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "TLS") {
		t.Errorf("a row without a figure in\n%s", &out)
	}
}

func TestPercentiles(t *testing.T) {
	var out bytes.Buffer
	f := figures{out: &out, found: map[string][]float64{}}
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(100-i)*time.Millisecond)
	}
	f.took("targeted/applied", all)
	if p50, p99 := f.found["targeted/applied/p50"][0], f.found["targeted/applied/p99"][0]; p50 != 51 || p99 != 100 {
		t.Errorf("of 1 to 100 ms p50 is %g and p99 %g", p50, p99)
	}
}

// A table that says the same of two rows can't be read.
func TestEachRowSaysWhatItMeans(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rows() {
		if seen[r.what] || seen[r.name] {
			t.Errorf("two rows say %q or are %s", r.what, r.name)
		}
		if r.atLeast > 0 && r.atMost > 0 {
			t.Errorf("%s: the table shows one of its two aims", r.what)
		}
		seen[r.what], seen[r.name] = true, true
	}
}
