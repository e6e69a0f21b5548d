package replay_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/replay"
)

// TestReplayLosesNATS: the NATS server goes away in the middle of a replay, and comes back. The replay goes on, and its file holds each event once.
func TestReplayLosesNATS(t *testing.T) {
	srv := natstest.Start(t)
	d := newDesk(t, natstest.Open(t, bus.Config{URL: srv.URL()}))
	const n = 600
	var want []uint64
	for i := range n {
		want = append(want, d.session(t, fmt.Sprint(planted, i), "u"))
	}
	// As the process does: the service is run again when it can't go on.
	d.runAgain(t)
	id := d.order(t, `{"execute":true,"target":{"kind":"file"},"rate":200}`)
	eventually(t, "it runs", func() bool { return d.status(t, id).Sent > 0 })
	srv.Stop()
	eventually(t, "nothing can be asked", func() bool {
		return d.call(t, d.operator, "GET", "/v1/replays", "").code == "replays_unavailable"
	})
	srv.Restart()
	var got replay.Replay
	eventually(t, "it is done", func() bool { got = d.status(t, id); return got.State == replay.StateDone })
	if got.Sent != n {
		t.Errorf("%+v", got)
	}
	if w := readFile(t, filepath.Join(d.folder, got.Result.File)); fmt.Sprint(w.positions) != fmt.Sprint(want) {
		t.Errorf("the file holds %d events", len(w.positions))
	}
}
