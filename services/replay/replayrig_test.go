package replay_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/services/replay"
)

// answered is what a call for replays was answered with: a plan, a replay, a list or a problem.
type answered struct {
	status int
	body   []byte
	plan   replay.Plan
	replay replay.Replay
	list   replay.Replays
	code   string
	faults []problem.Fault
}

// call makes a call. in is a body as text, or nothing.
func (d *desk) call(t testing.TB, key, method, path, in string) answered {
	t.Helper()
	resp, body := d.api.Call(t, key, method, path, in)
	out := answered{status: resp.StatusCode, body: body}
	var p problem.Problem
	for _, into := range []any{&out.plan, &out.replay, &out.list, &p} {
		_ = json.Unmarshal(out.body, into) // one of them fits
	}
	out.code, out.faults = p.Code, p.Faults
	return out
}

// order asks for a replay, and returns its id.
func (d *desk) order(t testing.TB, body string) string {
	t.Helper()
	got := d.call(t, d.operator, http.MethodPost, "/v1/replays", body)
	if got.status != http.StatusAccepted || got.replay.State != replay.StateWaiting {
		t.Fatalf("%d %s", got.status, got.body)
	}
	return got.replay.ID
}

func (d *desk) status(t testing.TB, id string) replay.Replay {
	t.Helper()
	return d.call(t, d.operator, http.MethodGet, "/v1/replays/"+id, "").replay
}

// await waits for a state.
func (d *desk) await(t testing.TB, id string, want replay.ReplayState) (got replay.Replay) {
	t.Helper()
	eventually(t, string("the replay is "+want), func() bool {
		got = d.status(t, id)
		if got.State == want {
			return true
		}
		if got.State == replay.StateFailed || got.State == replay.StateDone {
			t.Fatalf("it is %s: %s", got.State, got.Error)
		}
		return false
	})
	return got
}

// run runs replays until the test ends, or stop is called, which waits for that.
func (d *desk) run(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var work sync.WaitGroup
	work.Go(func() {
		if err := d.svc.Run(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	stop = func() { cancel(); work.Wait() }
	t.Cleanup(stop)
	return stop
}

// runAgain runs replays as a process does: again, when they can't be gone on with.
func (d *desk) runAgain(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var work sync.WaitGroup
	work.Go(func() {
		for ctx.Err() == nil {
			_ = d.svc.Run(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() { cancel(); work.Wait() })
}
