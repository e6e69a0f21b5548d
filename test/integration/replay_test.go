package integration

import (
	"context"
	"encoding/hex"
	"net/http"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/services/publisher"
	"github.com/curfewhq/curfew/services/replay"
	"github.com/curfewhq/curfew/services/replay/target"
)

// replayed orders a replay and waits for its end.
func replayed(t *testing.T, c *apiclient.Client, q replay.ReplayRequest) (got replay.Replay) {
	t.Helper()
	q.Execute = true
	if err := c.Call(t.Context(), http.MethodPost, "/v1/replays", nil, q, &got); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for got.State != replay.StateDone {
		select {
		case <-ctx.Done():
			t.Fatalf("not done within a minute: %+v", got)
		case <-tick.C:
		}
		if err := c.Call(t.Context(), http.MethodGet, "/v1/replays/"+got.ID, nil, nil, &got); err != nil || got.State == replay.StateFailed {
			t.Fatalf("%+v %v", got, err)
		}
	}
	return got
}

// TestReplayToTabs: an event that was marked as replayed has ended a session, and no tab was told of it. A replay to the tabs has the gateways of all processes tell them, and nobody else.
func TestReplayToTabs(t *testing.T) {
	f := startFleet(t, 2, "acme")
	c := f.client(t, 0, "acme")
	f.client(t, 1, "acme")
	s := session{tenant: "acme", id: "s-1", user: "ada", authTime: time.Now().Add(-time.Hour)}
	other := s
	other.id = "s-2"
	here, there, spared := f.open(t, c, 0, s), f.open(t, c, 1, s), f.open(t, c, 1, other)
	read := func(name string, from interface {
		Next(context.Context) (tab.Frame, error)
	}, want tab.FrameType,
	) tab.Frame {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		frame, err := from.Next(ctx)
		if err != nil || frame.Type != want {
			t.Fatalf("%s: %+v, %v; want %s", name, frame, err, want)
		}
		return frame
	}
	for name, conn := range map[string]interface {
		Next(context.Context) (tab.Frame, error)
	}{"here": here, "there": there, "spared": spared} {
		read(name, conn, tab.TypeReady)
	}
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	e := &events.SessionRevoked{
		Common: events.Common{
			ID: id, Time: events.Floor(time.Now()), Source: "test", Tenant: "acme", Reason: events.ReasonAdmin, ReasonUser: "we ended it", Initiator: events.Initiator{Type: events.InitiatorAdmin}, Replay: "an-import",
		}, Session: s.id, User: s.user,
	}
	data, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	stream := f.servers[0].Bus().Publisher()
	t.Cleanup(func() { _ = stream.Close() })
	ack, err := stream.PublishAck(t.Context(), events.TopicOf(e).String(), message.NewMessage(id, data))
	if err != nil {
		t.Fatal(err)
	}
	for _, srv := range f.servers {
		if err := srv.Replica().WaitFor(t.Context(), ack.Position); err != nil {
			t.Fatal(err)
		}
	}
	user := s.user
	q := replay.ReplayRequest{Filter: replay.Filter{User: &user}, Target: target.Spec{Kind: target.KindTabs}, NotifyTabs: true}
	var plan replay.Plan
	if err := c.Call(t.Context(), http.MethodPost, "/v1/replays", nil, q, &plan); err != nil || plan.Events != 1 || plan.OpenTabs != 3 || !plan.OpenTabsExact {
		t.Errorf("%+v %v", plan, err)
	}
	got := replayed(t, c, q)
	if got.Result.TabsTold != 2 || got.Result.GatewaysMissed != 0 || got.Sent != 1 {
		t.Errorf("%+v", got)
	}
	for name, conn := range map[string]interface {
		Next(context.Context) (tab.Frame, error)
	}{"here": here, "there": there} {
		if frame := read(name, conn, tab.TypeLogout); frame.ID != id || frame.Message != "we ended it" {
			t.Errorf("%s: %+v", name, frame)
		}
	}
	// The next that the other session's tab hears is its own end.
	var own publisher.Stored
	if err := c.Call(t.Context(), http.MethodPost, "/v1/revocations", nil, publisher.Revocation{Scope: "session", Session: other.id, User: other.user}, &own); err != nil {
		t.Fatal(err)
	}
	if frame := read("spared", spared, tab.TypeLogout); frame.ID != own.ID {
		t.Errorf("spared: %+v, want %s", frame, own.ID)
	}
}

// TestReplayToReplicas: the replicas of all processes of a group read the ledger anew and say that they held the same; another group's don't.
func TestReplayToReplicas(t *testing.T) {
	f := startFleet(t, 2, "acme")
	c := f.client(t, 0, "acme")
	for _, id := range []string{"s-1", "s-2"} {
		if err := c.Call(t.Context(), http.MethodPost, "/v1/revocations", nil, map[string]string{"scope": "session", "session": id}, nil); err != nil {
			t.Fatal(err)
		}
	}
	got := replayed(t, c, replay.ReplayRequest{Target: target.Spec{Kind: target.KindReplicas}})
	if len(got.Result.Replicas) != 2 || got.To != uint64(len(got.Result.Replicas)) {
		t.Fatalf("%+v", got)
	}
	for _, r := range got.Result.Replicas {
		if !r.Same || r.State != "done" || len(r.Digest) != 64 || r.Digest != got.Result.Replicas[0].Digest {
			t.Errorf("%+v", r)
		}
	}
	// The replicas of another group aren't theirs, whichever process runs the replay.
	search := startServer(t, f.url, func(cfg *config.Config) { cfg.ReplicaGroup = "search" })
	for group, want := range map[string]int{"search": 1, "curfew": 2, "": 2} {
		got := replayed(t, c, replay.ReplayRequest{Target: target.Spec{Kind: target.KindReplicas, Group: group}})
		if len(got.Result.Replicas) != want {
			t.Errorf("group %q: %+v", group, got.Result.Replicas)
		}
		for _, r := range got.Result.Replicas {
			if digest := search.Replica().Digest(); !r.Same || r.Digest != hex.EncodeToString(digest[:]) {
				t.Errorf("group %q: %+v", group, r)
			}
		}
	}
	var failed replay.Replay
	q := replay.ReplayRequest{Target: target.Spec{Kind: target.KindReplicas, Group: "nobodys"}, Execute: true}
	if err := c.Call(t.Context(), http.MethodPost, "/v1/replays", nil, q, &failed); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for failed.State != replay.StateFailed {
		select {
		case <-ctx.Done():
			t.Fatalf("%+v", failed)
		case <-tick.C:
		}
		if err := c.Call(t.Context(), http.MethodGet, "/v1/replays/"+failed.ID, nil, nil, &failed); err != nil {
			t.Fatal(err)
		}
	}
}
