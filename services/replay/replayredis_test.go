package replay_test

import (
	"testing"

	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/redisstore"
	"github.com/curfewhq/curfew/internal/redistest"
	"github.com/curfewhq/curfew/services/replay"
	"github.com/curfewhq/curfew/services/replay/target"
)

// TestReplayToARedisThatForgets: one that keeps nothing on the disk goes away in the middle of a replay, and comes back empty. What it had is sent again, and its stream holds each event once.
func TestReplayToARedisThatForgets(t *testing.T) { replayToRedis(t, true) }

// TestReplayToARedisWhoseReadersDelete: what a reader has dealt with and deleted isn't lost.
func TestReplayToARedisWhoseReadersDelete(t *testing.T) { replayToRedis(t, false) }

func replayToRedis(t *testing.T, forgets bool) {
	t.Helper()
	server, streams := startRedis(t)
	d := newDesk(t, natstest.Bus(t), func(c *target.Config) { c.Redis = streams })
	d.mixed(t, 300)
	d.run(t)
	id := d.order(t, `{"execute":true,"target":{"kind":"redis"},"rate":200}`)
	eventually(t, "it runs", func() bool { return d.status(t, id).Sent > 0 })
	if forgets {
		server.Stop()
		server.Start(t)
	} else {
		server.Do(t, "XTRIM curfew:replay:"+id+" MAXLEN 0")
	}
	got := d.await(t, id, replay.StateDone)
	if got.Sent != 300 {
		t.Errorf("%+v", got)
	}
	if forgets {
		server.Expect(t, "XLEN "+got.Result.Key, ":300")
	}
}

// startRedis starts a Redis, and connects to it until the test ends.
func startRedis(t *testing.T) (*redistest.Server, *redisstore.Streams) {
	t.Helper()
	server := redistest.Start(t)
	streams, err := redisstore.OpenStreams(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = streams.Close() })
	return server, streams
}
