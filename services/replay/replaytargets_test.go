package replay_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
	"github.com/curfewhq/curfew/services/replay"
	"github.com/curfewhq/curfew/services/replay/target"
)

// mixed stores events of every kind, and returns the sessions that one of them may end.
func (d *desk) mixed(t *testing.T, n int) (sessions []revocation.Session) {
	t.Helper()
	at := events.Floor(time.Now())
	for i := range n {
		user, device, client := fmt.Sprint(planted, "-u-", i%5), fmt.Sprint("d-", i%3), fmt.Sprint("c-", i%4)
		cutoff := at.Add(-time.Duration(i) * time.Minute)
		switch i % 4 {
		case 0:
			d.store(t, &events.SessionRevoked{Common: common(t), Session: fmt.Sprint(planted, "-s-", i), User: user})
		case 1:
			d.store(t, &events.UserLoggedOutEverywhere{Common: common(t), User: user, Cutoff: cutoff, Except: []string{fmt.Sprint(planted, "-s-", i)}})
		case 2:
			d.store(t, &events.DeviceLoggedOut{Common: common(t), Device: device, Cutoff: cutoff})
		case 3:
			d.store(t, &events.ClientLoggedOut{Common: common(t), Client: client, Cutoff: cutoff})
		}
		for _, age := range []time.Duration{0, 10 * time.Minute, time.Hour} {
			sessions = append(sessions, revocation.Session{Tenant: "acme", ID: fmt.Sprint(planted, "-s-", i), User: user, Device: device, Client: client, AuthTime: at.Add(-age)})
		}
	}
	return sessions
}

// TestReplayToTopicTwice, trap 18: a stream that takes the topic holds each event of a replay once, marked; and what a replica makes of the copies is what it makes of the
// events, however often they are replayed.
func TestReplayToTopicTwice(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	js := d.bus.JetStream()
	shadow, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "SHADOW", Subjects: []string{"shadow.>"}, Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	sessions := d.mixed(t, 400)
	d.run(t)

	feed := revocationtest.New()
	feed.AutoBeat(20 * time.Millisecond)
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	for _, r := range d.lines(t, d.key, "") {
		e, err := events.Decode(r.Event)
		if err != nil {
			t.Fatal(err)
		}
		feed.Publish(e)
	}
	copies := revocationtest.New()
	copies.AutoBeat(20 * time.Millisecond)
	second, err := revocation.Open(t.Context(), revocation.Config{Feed: copies})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Close() })

	var digests, copied [][32]byte
	for round := range 2 {
		if err := replica.WaitFor(t.Context(), feed.Last()); err != nil {
			t.Fatal(err)
		}
		digests = append(digests, replica.Digest())
		id := d.order(t, `{"execute":true,"target":{"kind":"topic","topic":"shadow.events"}}`)
		if got := d.await(t, id, replay.StateDone); got.Sent != 400 {
			t.Fatalf("%+v", got)
		}
		ids := map[string]bool{}
		for at := uint64(round*400 + 1); at <= uint64(round*400+400); at++ {
			msg, err := shadow.GetMsg(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			e, err := events.Decode(msg.Data)
			if err != nil || e.Meta().Replay != id || msg.Header.Get(nats.MsgIdHdr) != id+"/acme/"+e.Meta().ID || msg.Header.Get("Curfew-Replay") != id {
				t.Fatalf("%v %v %v", msg.Header, e, err)
			}
			ids[e.Meta().ID] = true
			feed.PublishRaw(events.TopicOf(e).String(), msg.Data)
			copies.PublishRaw(events.TopicOf(e).String(), msg.Data)
		}
		if len(ids) != 400 {
			t.Errorf("%d different events", len(ids))
		}
		if err := second.WaitFor(t.Context(), copies.Last()); err != nil {
			t.Fatal(err)
		}
		copied = append(copied, second.Digest())
	}
	if err := replica.WaitFor(t.Context(), feed.Last()); err != nil {
		t.Fatal(err)
	}
	if digests = append(digests, replica.Digest()); digests[0] != digests[1] || digests[1] != digests[2] || copied[0] != copied[1] {
		t.Error("a replay has changed the state")
	}
	for _, s := range sessions {
		if a, b := replica.Check(s), second.Check(s); a.State != b.State || a.Reason != b.Reason || a.Scope != b.Scope {
			t.Errorf("%+v by the events, %+v by the copies", a, b)
		}
	}
}

// TestReplayToTopicWithoutStream: who listens hears it.
func TestReplayToTopicWithoutStream(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	d.mixed(t, 20)
	d.run(t)
	sub, err := d.bus.Conn().SubscribeSync("listen.here")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	const body = `"target":{"kind":"topic","topic":"listen.here"}}`
	if plan := d.call(t, d.operator, http.MethodPost, "/v1/replays", "{"+body).plan; len(plan.Notes) == 0 || !strings.Contains(plan.Notes[0], "No stream takes this topic") {
		t.Errorf("%+v", plan)
	}
	d.await(t, d.order(t, `{"execute":true,`+body), replay.StateDone)
	for range 20 {
		if _, err := sub.NextMsg(5 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
}

// markedInRedis has Redis itself count the entries of a stream that are marked as those of a replay, in the event and by their id.
const markedInRedis = `EVAL "local n = 0 for _, e in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do local f = {} for i = 1, #e[2], 2 do f[e[2][i]] = e[2][i+1] end ` +
	`local v = cjson.decode(f.event) if v.data.replayed == true and v.data.replay == ARGV[1] and f.id == ARGV[1] .. '/acme/' .. v.id then n = n + 1 end end return n" 1 `

// TestReplayToRedis: each replay has a stream of its own, which holds each event once, marked, also if the process was killed in the middle of it.
func TestReplayToRedis(t *testing.T) {
	server, streams := startRedis(t)
	d := newDesk(t, natstest.Bus(t), func(c *target.Config) { c.Redis = streams })
	d.mixed(t, 300)
	stop := d.run(t)
	id := d.order(t, `{"execute":true,"target":{"kind":"redis"},"rate":400}`)
	eventually(t, "it runs", func() bool { return d.status(t, id).Sent > 0 })
	entry, err := d.cfg.Tasks.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	at := d.status(t, id).Sent
	eventually(t, "it goes on", func() bool { return d.status(t, id).Sent > at })
	stop()
	// As if the process had been killed: what it has sent since isn't written down.
	if _, err := d.cfg.Tasks.Put(t.Context(), id, entry.Value()); err != nil {
		t.Fatal(err)
	}
	d.run(t)
	got := d.await(t, id, replay.StateDone)
	if got.Sent != 300 || got.Result.Key != "curfew:replay:"+id || got.Runs != 2 {
		t.Errorf("%+v", got)
	}
	server.Expect(t, "XLEN "+got.Result.Key, ":300")
	server.Expect(t, markedInRedis+got.Result.Key+" "+id, ":300")
}

// TestTargetAway: a target that can't be reached is tried again, and the record says so; when it is back the replay goes on.
func TestTargetAway(t *testing.T) {
	server, streams := startRedis(t)
	server.Stop()
	d := newDesk(t, natstest.Bus(t), func(c *target.Config) { c.Redis = streams })
	d.mixed(t, 10)
	d.run(t)
	id := d.order(t, `{"execute":true,"target":{"kind":"redis"}}`)
	eventually(t, "it says what it waits for", func() bool { return strings.Contains(d.status(t, id).Error, "tried again in") })
	server.Start(t)
	if got := d.await(t, id, replay.StateDone); got.Error != "" || got.Sent != 10 {
		t.Errorf("%+v", got)
	}
}

// TestKeyRevokedMeanwhile: whose key is revoked has nothing sent any more. Another key may resume it.
func TestKeyRevokedMeanwhile(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	d.mixed(t, 60)
	d.run(t)
	made, text := accesstest.Key(t, d.keys, "globex", access.ScopeOperator)
	got := d.call(t, text, http.MethodPost, "/v1/replays", `{"execute":true,"target":{"kind":"file"},"rate":30,"filter":{"tenant":"acme"}}`)
	eventually(t, "it runs", func() bool { return d.status(t, got.replay.ID).Sent > 0 })
	if _, err := d.keys.Revoke(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	var failed replay.Replay
	eventually(t, "it has failed", func() bool { failed = d.status(t, got.replay.ID); return failed.State == replay.StateFailed })
	if !strings.Contains(failed.Error, "was revoked") || failed.Next != "curfew replay resume "+failed.ID || failed.KeyID != made.ID {
		t.Errorf("%+v", failed)
	}
	d.call(t, d.operator, http.MethodPost, "/v1/replays/"+failed.ID+"/resume", "")
	// The record goes on telling who asked for it first.
	if got := d.await(t, failed.ID, replay.StateDone); got.Sent != 60 || got.KeyID != made.ID || got.KeyTenant != "globex" || got.ResumedBy == "" || got.ResumedBy == made.ID {
		t.Errorf("%+v", got)
	}
}

// TestKeyThatResumedIsRevoked: it goes on in the name of who resumed it, and ends with that key, whoever asked for it first.
func TestKeyThatResumedIsRevoked(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	d.mixed(t, 60)
	d.run(t)
	id := d.order(t, `{"execute":true,"target":{"kind":"file"},"rate":20}`)
	eventually(t, "it runs", func() bool { return d.status(t, id).Sent > 0 })
	d.call(t, d.operator, http.MethodPost, "/v1/replays/"+id+"/cancel", "")
	made, text := accesstest.Key(t, d.keys, "globex", access.ScopeOperator)
	sent := d.status(t, id).Sent
	if got := d.call(t, text, http.MethodPost, "/v1/replays/"+id+"/resume", ""); got.status != http.StatusAccepted || got.replay.ResumedBy != made.ID {
		t.Fatalf("%d %s", got.status, got.body)
	}
	eventually(t, "it goes on", func() bool { return d.status(t, id).Sent > sent })
	if _, err := d.keys.Revoke(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has failed", func() bool { return d.status(t, id).State == replay.StateFailed })
}

// TestTwoAtOnce: of many replays two run, the others wait for their turn, and all come to their end; and of two processes one runs them.
func TestTwoAtOnce(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	d.mixed(t, 20)
	other, err := replay.New(d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 5 {
		ids = append(ids, d.order(t, `{"execute":true,"target":{"kind":"file"},"rate":20}`))
	}
	d.run(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- other.Run(ctx) }()
	eventually(t, "all are done", func() bool {
		running, over := 0, 0
		for _, r := range d.call(t, d.operator, http.MethodGet, "/v1/replays", "").list.Replays {
			if r.State == replay.StateRunning {
				running++
			}
			if r.State == replay.StateDone {
				over++
			}
		}
		if running > 2 {
			t.Fatalf("%d run at once", running)
		}
		return over == len(ids)
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, id := range ids {
		if got := d.status(t, id); got.Sent != 20 || got.Runs != 1 {
			t.Errorf("%+v", got)
		}
	}
}
