package bus_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// A ledger that is made anew has the deployment's key, with which replicas of the one before it go on for life.
func TestLedgerThatIsMadeAnewKeepsTheHashKey(t *testing.T) {
	for name, cfg := range map[string]bus.Config{"embedded": natstest.Config(t), "external": {URL: natstest.Start(t).URL()}} {
		t.Run(name, func(t *testing.T) {
			b := natstest.Open(t, cfg)
			want := hashKey(t, b)
			if err := b.JetStream().DeleteStream(t.Context(), bus.LedgerStream); err != nil {
				t.Fatal(err)
			}
			if err := b.EnsureStreams(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := hashKey(t, b); got != want {
				t.Errorf("the key was %s, and is %s once the ledger was made anew", want, got)
			}
		})
	}
}

// A ledger that is made anew has lost what the one before it held, but not one that is made at the deployment's first start, when another process may just
// have agreed on the key.
func TestLedgerThatIsMadeAnewIsWholeSinceThen(t *testing.T) {
	b := natstest.Open(t, natstest.Config(t))
	anew := func() jetstream.StreamConfig {
		t.Helper()
		if err := b.JetStream().DeleteStream(t.Context(), bus.LedgerStream); err != nil {
			t.Fatal(err)
		}
		if err := b.EnsureStreams(t.Context()); err != nil {
			t.Fatal(err)
		}
		return ledgerConfig(t, b)
	}
	if since, there := anew().Metadata[bus.WholeSinceMetadata]; there {
		t.Errorf("at the first start it is whole since %s, want nothing of it", since)
	}
	b.StartedLongAgo()
	// Replicas add the leeway.
	text := anew().Metadata[bus.WholeSinceMetadata]
	if since, err := time.Parse(time.RFC3339, text); err != nil || time.Since(since) < 5*time.Minute || time.Since(since) > 6*time.Minute {
		t.Errorf("it is whole since %q (%v), want five minutes ago", text, err)
	}
}

// Where the deployment's key can't be asked for, a new ledger has one all the same.
func TestNewLedgerWithoutTheRightToAgreeOnAHashKey(t *testing.T) {
	srv := natstest.Start(t, natstest.With(func(o *server.Options) {
		deny := &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.*.KV_CURFEW_SECRETS"}}}
		o.Users = []*server.User{{Username: "plain", Password: "p", Permissions: deny}}
	}))
	hashKey(t, natstest.Open(t, bus.Config{URL: "nats://plain:p@" + srv.Addr()}))
}
