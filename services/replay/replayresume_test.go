package replay_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

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
			// By another run, or by the same one, if it hasn't heard of the first word before the second.
			if got.State == replay.StateRunning && got.Next != "curfew replay status "+id+" --follow" {
				t.Fatalf("the next command of one that runs is %q", got.Next)
			}
			return got.State == replay.StateRunning
		})
		d.call(t, d.operator, http.MethodPost, "/v1/replays/"+id+"/cancel", "")
	}
}

// awayKV is a bucket whose server doesn't answer the next few changes.
type awayKV struct {
	jetstream.KeyValue
	changes, away atomic.Int64
}

func (k *awayKV) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	k.changes.Add(1)
	if k.away.Load() > 0 {
		k.away.Add(-1)
		return 0, errors.New("nats: timeout")
	}
	return k.KeyValue.Update(ctx, key, value, revision)
}

// TestReplayOutlastsAnOutage: a checkpoint can't be written, nor that it is tried again; then all is well again, and the replay comes to its end.
func TestReplayOutlastsAnOutage(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	for i := range 150 {
		d.session(t, fmt.Sprint(planted, i), "u")
	}
	records := &awayKV{KeyValue: d.cfg.Tasks}
	d.cfg.Tasks = records
	svc, err := replay.New(d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.svc = svc
	id := d.order(t, `{"target":{"kind":"file"},"rate":100,"execute":true}`)
	d.run(t)
	eventually(t, "it is under way", func() bool { return records.changes.Load() >= 2 })
	records.away.Store(2)
	if got := d.await(t, id, replay.StateDone); got.Sent != 150 || got.Runs != 1 || records.away.Load() != 0 {
		t.Errorf("%+v", got)
	}
}
