package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
	if err := os.Setenv(asProgram, "1"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// Every step measures every figure that the table has, though only in small, and all at once.
func TestStepsMeasureEveryRow(t *testing.T) {
	measured := map[string]string{}
	// Not parallel subtests, of which only as many run as there are processors: these wait most of the time.
	var measuring sync.WaitGroup
	for _, s := range steps() {
		for _, r := range rows() {
			if strings.HasPrefix(r.name, s.name+"/") {
				measured[r.name] = s.name
			}
		}
		measuring.Go(func() { measureOnce(t, s.name) })
	}
	measuring.Wait()
	for _, r := range rows() {
		if measured[r.name] == "" {
			t.Errorf("no step measures %s", r.name)
		}
	}
}

// measureOnce runs one step. It may be called from any goroutine.
func measureOnce(t *testing.T, step string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// A file, for several processes write to it.
	errs, err := os.Create(filepath.Join(t.TempDir(), "errs"))
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = errs.Close() }()
	var out bytes.Buffer
	args := "run -count 1 -gateways 1 -most 50 -spread 50 -tls 10 -logouts 3 -singles 2 -settle 0s -idle 200ms -heartbeat 1s -steps " + step
	if code := execute(ctx, strings.Fields(args), nil, &out, errs); code != 0 {
		said, _ := os.ReadFile(errs.Name())
		t.Errorf("%s: exit code %d\n%s\n%s", step, code, &out, said)
		return
	}
	for _, r := range rows() {
		if !strings.HasPrefix(r.name, step+"/") {
			continue
		}
		if n := strings.Count(out.String(), "BenchmarkFanout/"+r.name+"\t1\t"); n != 1 {
			t.Errorf("%s was measured %d times, want once", r.name, n)
		}
		if !strings.Contains(out.String(), "| "+r.what+" | "+r.aim()+" | ") {
			t.Errorf("the table has no row %q", r.what)
		}
	}
}

func TestWrongCalls(t *testing.T) {
	for _, args := range []string{"", "unknown", "run all", "run -steps none", "run -count 0", "run -most 4", "run -logouts 20000", "run -spread 2000000000", "run -idle soon"} {
		var out, errs bytes.Buffer
		if code := execute(t.Context(), strings.Fields(args), nil, &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("%q: exit code %d, said %q; want 2 and why", args, code, &errs)
		}
	}
}
