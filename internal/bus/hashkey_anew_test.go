package bus_test

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"

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

// Where the deployment's key can't be asked for, a new ledger has one all the same.
func TestNewLedgerWithoutTheRightToAgreeOnAHashKey(t *testing.T) {
	srv := natstest.Start(t, natstest.With(func(o *server.Options) {
		deny := &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.*.KV_CURFEW_SECRETS"}}}
		o.Users = []*server.User{{Username: "plain", Password: "p", Permissions: deny}}
	}))
	hashKey(t, natstest.Open(t, bus.Config{URL: "nats://plain:p@" + srv.Addr()}))
}
