package blackbox

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// A service in another process opens a replica as the README says, and knows of a revocation as soon as it is stored.
func TestServiceFollowsTheLedger(t *testing.T) {
	i := serve(t, t.TempDir(), "127.0.0.1:0", "--nats-listen", "127.0.0.1:0")
	open := strings.TrimPrefix(i.log.wait(t, "the ledger takes replicas at nats://"), "the ledger takes replicas at ")
	if nc, err := nats.Connect(open); err == nil {
		nc.Close()
		t.Fatal("the ledger lets anybody in: any user of this machine could forge it")
	}
	file := filepath.Join(i.dir, strings.TrimPrefix(i.log.wait(t, "with the password in"), "with the password in "))
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v, want mode 0600", info, err)
	}
	url, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(strings.TrimSpace(string(url)), revocationnats.Options("billing")...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	replica, err := revocation.Open(ctx, revocation.Config{Feed: revocationnats.NewFeed(js, revocationnats.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = replica.Close() }()

	session := revocation.Session{ID: "s-1", User: "ada", AuthTime: time.Now().Add(-time.Hour)}
	if d := replica.Check(session); d.State != revocation.Active {
		t.Fatalf("before: %v, %v", d.State, d.Cause)
	}
	ended := make(chan struct{})
	defer replica.OnApplied(func(revocation.Applied) { close(ended) })()
	if r := i.curfew(t, "revoke", "user", "ada"); r.code != 0 {
		t.Fatalf("revoke: %+v", r)
	}
	select {
	case <-ended:
	case <-ctx.Done():
		t.Fatal("the replica heard nothing")
	}
	if d := replica.Check(session); d.State != revocation.Revoked || d.Scope != revocation.ScopeUser {
		t.Errorf("after: %v, %v", d.State, d.Cause)
	}
	// With the server gone there are no beats: the replica still refuses whom it knows, and vouches for nobody once its budget is over.
	i.kill(t)
	if d := replica.CheckWith(session, revocation.Require{MaxStaleness: time.Millisecond}); d.State != revocation.Revoked {
		t.Errorf("a revocation stopped holding: %v, %v", d.State, d.Cause)
	}
}
