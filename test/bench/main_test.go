package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asProgram, in the environment, makes the test's binary the program: for the processes that verbs start.
const asProgram = "CURFEW_BENCH_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// Every verb measures what it says, though only in small.
func TestVerbs(t *testing.T) {
	t.Setenv(asProgram, "1")
	for _, tt := range []struct {
		args string
		// want: name of a benchmark → the units of its figures.
		want map[string][]string
	}{
		{"memory -entries 1k", map[string][]string{
			"Memory/entries=1k/mix=sessions/set=curfew": {"B/entry", "fill-ns/entry"}}},
		{"memory -entries 1k -mix mixed -set rwmutex-map", map[string][]string{
			"Memory/entries=1k/mix=mixed/set=rwmutex-map": {"B/entry", "fill-ns/entry"}}},
		{"gc -entries 1k -rate 20k -for 1s", map[string][]string{
			"GC/entries=1k/mix=sessions/rate=20k/set=curfew": {"%-of-used-CPU", "%-of-all-CPU", "CPU-ms/cycle", "writes/s"}}},
		{"gc -entries 1k -mix mixed -rate 20k -for 1s -set rwmutex-map", map[string][]string{
			"GC/entries=1k/mix=mixed/rate=20k/set=rwmutex-map": {"%-of-used-CPU", "%-of-all-CPU", "CPU-ms/cycle", "writes/s"}}},
		{"snapshot -entries 1k -mix mixed", map[string][]string{
			"SnapshotWrite/entries=1k/mix=mixed/to=memory": {"ns/op", "B/entry"},
			"SnapshotWrite/entries=1k/mix=mixed/to=file":   {"ns/op", "B/entry"},
			"SnapshotLoad/entries=1k/mix=mixed":            {"ns/op"}}},
		{"start -entries 1k -mix mixed -tail 100", map[string][]string{"ColdStart/entries=1k/mix=mixed/tail=100": {"ns/op", "process-ns"}}},
		{"start -cold -tail 100", map[string][]string{"ColdStart/snapshot=none/tail=100": {"ns/op", "process-ns"}}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var out, errs bytes.Buffer
			if code := run(ctx, time.Now(), strings.Fields(tt.args), &out, &errs); code != 0 {
				t.Fatalf("exit code %d\n%s", code, &errs)
			}
			got := results{}
			if err := got.read(&out); err != nil {
				t.Fatal(err)
			}
			if len(got) != len(tt.want) {
				t.Errorf("printed %v", got)
			}
			for name, units := range tt.want {
				for _, unit := range units {
					if v := got[name][unit]; len(v) != 1 || v[0] <= 0 {
						t.Errorf("%s: %v %s, want one figure above 0", name, v, unit)
					}
				}
			}
		})
	}
}

func TestWrongCalls(t *testing.T) {
	for _, args := range []string{"", "unknown", "memory -entries 0", "memory -entries 1G", "memory -mix all", "memory -set redis", "memory 10M", "report"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), time.Now(), strings.Fields(args), &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("%q: exit code %d, said %q; want 2 and why", args, code, &errs)
		}
	}
}

func TestCount(t *testing.T) {
	for text, want := range map[string]int{"1": 1, "10k": 10_000, "1M": 1_000_000, "1500": 1500} {
		var c count
		if err := c.Set(text); err != nil || int(c) != want {
			t.Errorf("%s is %d (%v), want %d", text, int(c), err, want)
		}
		var again count
		if err := again.Set(c.String()); err != nil || again != c {
			t.Errorf("%d is written as %s", int(c), &c)
		}
	}
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		code     int
		// want are rows that the table has.
		want []string
	}{
		{
			"an aim is met by the median of the rounds' ratios",
			"BenchmarkMiss/entries=1M/set=curfew/readers=1-2 1 100 ns/op\nBenchmarkMiss/entries=1M/set=rwmutex-map/readers=1-2 1 500 ns/op 0 B/op\n" +
				"BenchmarkMiss/entries=1M/set=curfew/readers=1-2 1 200 ns/op\nBenchmarkMiss/entries=1M/set=rwmutex-map/readers=1-2 1 800 ns/op\n" +
				"BenchmarkMiss/entries=1M/set=curfew/readers=1-2 1 100 ns/op\nBenchmarkMiss/entries=1M/set=rwmutex-map/readers=1-2 1 300 ns/op\n",
			0, []string{"| a miss among 1M, one reader: times faster than `sync.RWMutex` and a map | ≥ 4 × | 4 × (3 to 5, n=3) | yes |",
				"| a miss among 10M, one reader: times faster than `sync.RWMutex` and a map | ≥ 2.5 × | not measured | – |"},
		},
		{
			"an aim is missed",
			"BenchmarkCheck/entries=10M/begun=old-2 1 300 ns/op\nBenchmarkDRAM-2 1 100 ns/op\n",
			1, []string{"| a Check of five parts among 10M, begun before the cutoffs: in loads from DRAM | ≤ 1.2 × | 3 × | no |",
				"| one load from DRAM that depends on the one before it | – | 100 ns | – |"},
		},
		{
			"the best of those that were measured",
			"BenchmarkMiss/entries=10k/set=curfew/readers=1 1 60 ns/op\nBenchmarkMiss/entries=10k/set=xsync/readers=1 1 50 ns/op\n" +
				"BenchmarkMiss/entries=10k/set=otter/readers=1 1 70 ns/op\n",
			0, []string{"| a miss among 10k, one reader: its time in the best's of all | ≤ 1.2 × | 1.2 × | yes |"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "results.txt")
			if err := os.WriteFile(file, []byte("goos: linux\n"+tt.in+"PASS\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			if code := run(t.Context(), time.Now(), []string{"report", file}, &out, &errs); code != tt.code {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, &errs)
			}
			if row := "in the map"; strings.Contains(out.String(), row) {
				t.Errorf("a row that has neither an aim nor a figure (%s) in\n%s", row, &out)
			}
			for _, row := range tt.want {
				if !strings.Contains(out.String(), row+"\n") {
					t.Errorf("no row %s in\n%s", row, &out)
				}
			}
		})
	}
}

// A table that says the same of two rows can't be read.
func TestEachAimSaysWhatItMeans(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range aims() {
		if seen[a.what] {
			t.Errorf("two rows say %q", a.what)
		}
		if a.atLeast > 0 && a.atMost > 0 {
			t.Errorf("%s: the table shows one of its two aims", a.what)
		}
		seen[a.what] = true
	}
}
