package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asProgram, in the environment, makes the test's binary the program: for the processes that run starts.
const asProgram = "CURFEW_FANOUT_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// Every step measures every figure that the table has, though only in small.
func TestRunMeasuresEveryRow(t *testing.T) {
	if _, err := mostFiles(); err != nil {
		t.Skip(err)
	}
	t.Setenv(asProgram, "1")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	args := "run -steps memory,tls,targeted,everyone,storm,idle,heartbeat,delay -count 1 -most 50 -spread 50 -tls 10 -logouts 3 -singles 2 -settle 0s -idle 300ms -heartbeat 1s"
	if code := execute(ctx, strings.Fields(args), nil, &out, &errs); code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", code, &out, &errs)
	}
	for _, r := range rows() {
		if n := strings.Count(out.String(), "BenchmarkFanout/"+r.name+"\t1\t"); n != 1 {
			t.Errorf("%s was measured %d times, want once", r.name, n)
		}
		if !strings.Contains(out.String(), "| "+r.what+" | "+r.aim()+" | ") {
			t.Errorf("the table has no row %q", r.what)
		}
	}
}

func TestWrongCalls(t *testing.T) {
	if _, err := mostFiles(); err != nil {
		t.Skip(err)
	}
	for _, args := range []string{"", "unknown", "run all", "run -steps none", "run -count 0", "run -most 4", "run -logouts 20000", "run -spread 2000000000", "run -idle soon"} {
		var out, errs bytes.Buffer
		if code := execute(t.Context(), strings.Fields(args), nil, &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("%q: exit code %d, said %q; want 2 and why", args, code, &errs)
		}
	}
}
