package replay_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/replay"
)

// TestCancelAndResumeAtOnce: a replay that is resumed before the process that runs it has ended it goes on, and isn't written down as failed.
func TestCancelAndResumeAtOnce(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	for i := range 500 {
		d.session(t, fmt.Sprint(planted, i), "u")
	}
	d.run(t)
	for range 5 {
		id := d.order(t, `{"target":{"kind":"file"},"rate":100,"execute":true}`)
		eventually(t, "it runs", func() bool { return d.status(t, id).Sent > 0 })
		for _, what := range []string{"cancel", "resume"} {
			if got := d.call(t, d.operator, http.MethodPost, "/v1/replays/"+id+"/"+what, ""); got.status >= http.StatusBadRequest {
				t.Fatalf("%s: %d %s", what, got.status, got.body)
			}
		}
		eventually(t, "it goes on", func() bool {
			got := d.status(t, id)
			if got.State == replay.StateFailed || got.State == replay.StateCancelled {
				t.Fatalf("it is %s: %s", got.State, got.Error)
			}
			return got.State == replay.StateRunning && got.Runs > 1
		})
		d.call(t, d.operator, http.MethodPost, "/v1/replays/"+id+"/cancel", "")
	}
}
