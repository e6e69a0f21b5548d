package gateways_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/natstest"
)

// proposedUsers are those of the authorization that deploy/nats/nats.conf proposes in a comment.
func proposedUsers(t *testing.T) []*server.User {
	t.Helper()
	conf, err := os.ReadFile(filepath.Join("..", "..", "deploy", "nats", "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(conf), "\n# authorization {\n")
	block, _, ended := strings.Cut(rest, "\n# }\n")
	if !found || !ended {
		t.Fatal("deploy/nats/nats.conf proposes no authorization")
	}
	text := "authorization {\n"
	for line := range strings.Lines(block + "\n}\n") {
		text += strings.TrimPrefix(line, "#")
	}
	for _, user := range []string{"CURFEW", "PUBLISHER", "REPLICA", "FOLLOWER"} {
		t.Setenv(user+"_NATS_PASSWORD", "pw-"+strings.ToLower(user))
	}
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return opts.Users
}

// The permissions that deploy/nats/nats.conf proposes let a follower ask and hear, and nobody but curfew serve speak as a gateway.
func TestProposedPermissions(t *testing.T) {
	users := proposedUsers(t)
	srv := natstest.Run(t, natstest.With(func(o *server.Options) { o.Users = users }))
	url := func(user string) string { return "nats://" + user + ":pw-" + user + "@" + srv.Addr().String() }
	g := run(t, url("curfew"), "a")

	connectAs := func(user string) link {
		nc, err := nats.Connect(url(user), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		kv, err := js.KeyValue(t.Context(), bus.GatewaysBucket().Name)
		if err != nil && user == "follower" {
			t.Fatalf("%s opens the register: %v", user, err)
		}
		return link{nc: nc, kv: kv}
	}
	refused := func(user string, do func(nc *nats.Conn) error) bool {
		nc, err := nats.Connect(url(user), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if err := do(nc); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		return errors.Is(nc.LastError(), nats.ErrPermissionViolation)
	}

	f := fleetOf(t, connectAs("follower"), gateways.FleetConfig{})
	acks, changes := follow(t, f.FollowAcks), follow(t, f.FollowPresence)
	if a := ask(t, f, patience); summary(a) != "a:1 " || !a.Complete() {
		t.Errorf("the follower asks: %q", summary(a))
	}
	g.Acked(newAck(t, 1))
	g.Up("acme", "ada")
	eventually(t, "the follower hears both", func() bool { return len(acks.all()) == 1 && len(changes.all()) == 1 })

	may := map[string][]string{
		"replica":  {"publish curfew.live.replica.reports", "publish curfew.live.replica.applied", "publish curfew.live.answers.x", "subscribe curfew.live.replicas", "subscribe curfew.live.replica.await"},
		"follower": {"publish curfew.live.tabs", "subscribe curfew.live.acks", "subscribe curfew.live.presence", "subscribe curfew.live.answers.*"},
	}
	for _, user := range []string{"publisher", "replica", "follower"} {
		for _, topic := range []string{
			bus.LiveTabsTopic, bus.LiveAcksTopic, bus.LivePresenceTopic, bus.LivePassedAcksTopic, bus.LiveHintsTopic, bus.LiveShownTopic, bus.LiveCrowdTopic, presence.QuestionsTopic, presence.ReportsTopic, presence.AppliedTopic, presence.AwaitTopic, bus.LiveAnswerTopic("x"), bus.LiveAnswerTopic("*"),
			"curfew.live.>", "$KV.CURFEW_GATEWAYS.x", "$KV.CURFEW_GATEWAYS.>", "$KV.CURFEW_SESSIONS.x", "$KV.CURFEW_SESSIONS.>", "$KV.CURFEW_SETTINGS.idle-timeout",
		} {
			allowed := strings.Join(may[user], ",")
			if !strings.ContainsAny(topic, "*>") {
				got := refused(user, func(nc *nats.Conn) error { return nc.Publish(topic, []byte("{}")) })
				if want := !strings.Contains(allowed, "publish "+topic); got != want {
					t.Errorf("%s publishes to %s: refused %v, want %v", user, topic, got, want)
				}
			}
			got := refused(user, func(nc *nats.Conn) error { _, err := nc.SubscribeSync(topic); return err })
			want := !strings.Contains(allowed, "subscribe "+topic) && !(user == "follower" && bus.IsLiveAnswerTopic(topic))
			if got != want {
				t.Errorf("%s subscribes to %s: refused %v, want %v", user, topic, got, want)
			}
		}
	}
}
