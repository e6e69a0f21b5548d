package chaos

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// connect opens a connection as an embedder does.
func connect(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	var nc *nats.Conn
	eventually(t, "connected to "+url, func() (connected bool) {
		var err error
		nc, err = nats.Connect(url, revocationnats.Options(t.Name())...)
		return err == nil
	})
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// open opens a replica and closes it with the test.
func open(t *testing.T, cfg revocation.Config) *revocation.Replica {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	replica, err := revocation.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	return replica
}

// store publishes an event past curfew serve, again and again until it is acknowledged. It is stored once for each target.
func store(t *testing.T, js jetstream.JetStream, e events.Event) uint64 {
	t.Helper()
	return storeAs(t, js, e, e.Target())
}

// storeAs stores an event once for each id.
func storeAs(t *testing.T, js jetstream.JetStream, e events.Event, id string) uint64 {
	t.Helper()
	data, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	topic := events.TopicOf(e).String()
	var position uint64
	eventually(t, "stored", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		ack, err := js.Publish(ctx, topic, data, jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0))
		if err == nil {
			position = ack.Sequence
		}
		return err == nil
	})
	return position
}

// leader returns the name of the ledger's leader, as those see it to whom js is connected; empty if there is none.
func leader(t *testing.T, js jetstream.JetStream) (name string, current int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	stream, err := js.Stream(ctx, "CURFEW")
	if err != nil || stream.CachedInfo().Cluster == nil {
		return "", 0
	}
	info := stream.CachedInfo().Cluster
	for _, peer := range info.Replicas {
		if peer.Current && !peer.Offline {
			current++
		}
	}
	return info.Leader, current
}

// The server that leads the ledger is killed, or frozen with its connections open, again and again. What was acknowledged is kept and known, the
// replica is stale at most for the failover, and it hears again soon after there is a new leader.
func TestLeaderIsLost(t *testing.T) {
	// What is measured is some 0.1 s, and 0.4 s on a machine with too much to do.
	const bound = 3 * time.Second
	for _, fault := range []struct {
		name       string
		rounds     int
		lose, back func(*node)
	}{
		{"killed", 3, func(n *node) { n.kill() }, func(n *node) { n.restart() }},
		{"frozen", 2, func(n *node) { n.stop() }, func(n *node) { n.cont() }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			f := newFailover(t)
			for n := range fault.rounds {
				f.round(n, fault.lose, fault.back)
			}
			f.auditor.nothingMissed()
			if heard := median(f.heard); heard > bound {
				t.Errorf("heard again %v after there was a new leader (median), want less than %v", heard, bound)
			}
			t.Logf("medians: elected %v after the loss; heard %v and fresh %v after the election", median(f.elected), median(f.heard), median(f.fresh))
		})
	}
}

// failover is a cluster, curfew serve, and a replica.
type failover struct {
	t       *testing.T
	cluster cluster
	replica *revocation.Replica
	auditor *auditor
	// all reaches every server.
	all jetstream.JetStream
	// elected is how long after the loss there was a new leader; heard and fresh how long after that the replica had an event and a proof.
	elected, heard, fresh []time.Duration
}

func newFailover(t *testing.T) *failover {
	t.Helper()
	f := &failover{t: t, cluster: newCluster(t)}
	f.all = connect(t, f.cluster.urls(nil))
	serve(t, f.cluster.urls(nil), "--ledger-replicas", "3", "--roles", "publisher")
	f.replica = open(t, revocation.Config{Feed: revocationnats.NewFeed(connect(t, f.cluster.urls(nil)), revocationnats.Config{})})
	f.auditor = audit(t, f.replica, revocation.DefaultStalenessBudget)
	return f
}

func (f *failover) round(n int, lose, back func(*node)) {
	t := f.t
	t.Helper()
	before, after := numbered(2*n), numbered(2*n+1)
	name := ""
	eventually(t, "a leader whose followers are current", func() bool {
		var current int
		name, current = leader(t, f.all)
		return name != "" && current == len(f.cluster)-1
	})
	f.apply(store(t, f.all, logout(before)))
	f.auditor.revoked(before)
	victim := f.cluster.named(t, name)
	survivors := connect(t, f.cluster.urls(victim))
	lose(victim)
	lost := time.Now()
	eventually(t, "another leader", func() bool {
		next, _ := leader(t, survivors)
		return next != "" && next != name
	})
	known := time.Now()
	f.elected = append(f.elected, known.Sub(lost))
	position := store(t, survivors, logout(after))
	f.auditor.revoked(after)
	f.apply(position)
	f.heard = append(f.heard, time.Since(known))
	eventually(t, "proof", func() bool { s := f.replica.Status(); return s.Staleness >= 0 && s.Staleness < time.Since(known) })
	f.fresh = append(f.fresh, time.Since(known))
	t.Logf("%s lost: elected after %v, heard %v and fresh %v after that", name, f.elected[n], f.heard[n], f.fresh[n])
	back(victim)
}

// apply waits until the replica has applied the stream up to position.
func (f *failover) apply(position uint64) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	if err := f.replica.WaitFor(ctx, position); err != nil {
		f.t.Fatalf("WaitFor(%d) = %v; %+v", position, err, f.replica.Status())
	}
}

func median(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[len(s)/2]
}
