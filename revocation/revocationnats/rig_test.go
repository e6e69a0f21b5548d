package revocationnats_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = 20 * time.Second

// rig is a real server with the ledger, a connection of ours to it, and a link that can fail, over which the feed reads.
type rig struct {
	t     *testing.T
	srv   *natstest.Server
	proxy *natstest.Proxy
	// js is ours and goes past the proxy.
	js   jetstream.JetStream
	feed *revocationnats.Feed
	// dir is the server's folder, unless an option names another, and saved its copy.
	dir, saved string
}

// quick is a feed's config for tests that wait for it to give up.
var quick = revocationnats.Config{BeatTimeout: 400 * time.Millisecond, ClockInterval: 100 * time.Millisecond}

func ledger() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "CURFEW", Subjects: []string{"curfew.v1.>"}, Storage: jetstream.FileStorage, AllowMsgTTL: true, AllowDirect: true,
	}
}

func newRig(t *testing.T, cfg revocationnats.Config, opts ...natstest.Option) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), saved: t.TempDir()}
	r.srv = natstest.Start(t, append([]natstest.Option{natstest.With(func(o *server.Options) { o.StoreDir = r.dir })}, opts...)...)
	r.proxy = natstest.NewProxy(t, r.srv.Addr())
	r.js = r.connect(r.srv.URL())
	r.create(ledger())
	r.feed = revocationnats.NewFeed(r.connect(r.proxy.URL()), cfg)
	return r
}

// newRigWithout returns a rig whose feed has no right to a part of the API: its requests are never answered.
func newRigWithout(t *testing.T, denied string) *rig {
	t.Helper()
	const user, password = "reader", "secret"
	r := newRig(t, quick, natstest.With(func(o *server.Options) {
		deny := &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{denied}}}
		o.Users = []*server.User{{Username: "all", Password: password}, {Username: user, Password: password, Permissions: deny}}
		o.NoAuthUser = "all"
	}))
	// What NATS says of it on its own is no news.
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	r.feed = revocationnats.NewFeed(r.connect(fmt.Sprintf("nats://%s:%s@%s", user, password, r.proxy.Addr()), quiet), quick)
	return r
}

func (r *rig) connect(url string, more ...nats.Option) jetstream.JetStream {
	r.t.Helper()
	// What Options sets, but for the waiting: the tests have no herd to spread.
	opts := append(revocationnats.Options(r.t.Name()), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	nc, err := nats.Connect(url, append(opts, more...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		r.t.Fatal(err)
	}
	return js
}

func (r *rig) create(cfg jetstream.StreamConfig) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for {
		_, err := r.js.CreateStream(ctx, cfg)
		if err == nil {
			return
		}
		// The server still clears the folder of a stream of that name that has just been deleted.
		var api *jetstream.APIError
		if ctx.Err() != nil || !errors.As(err, &api) || api.ErrorCode != storeFailed {
			r.t.Fatal(err)
		}
	}
}

// storeFailed is JetStream's error code for a stream whose store couldn't be made.
const storeFailed = 10049

func (r *rig) Feed() revocation.Feed { return r.feed }

func (r *rig) Publish(e events.Event) uint64 {
	r.t.Helper()
	b, err := events.Encode(e)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.PublishRaw(events.TopicOf(e).String(), b)
}

func (r *rig) PublishRaw(topic string, data []byte) uint64 {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for {
		try, cancel := context.WithTimeout(ctx, time.Second)
		ack, err := r.js.Publish(try, topic, data)
		cancel()
		if err == nil {
			return ack.Sequence
		}
		// Only a server that has just been restarted refuses.
		if ctx.Err() != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) Beat() uint64 { return r.PublishRaw(events.TopicBeat, nil) }

func (r *rig) RemoveLast() {
	r.t.Helper()
	stream, err := r.js.Stream(r.t.Context(), "CURFEW")
	if err != nil {
		r.t.Fatal(err)
	}
	for seq := stream.CachedInfo().State.LastSeq; seq > 0; seq-- {
		if err := stream.DeleteMsg(r.t.Context(), seq); err == nil {
			return
		}
	}
	r.t.Fatal("no message is left")
}

func (r *rig) Recreate() {
	r.t.Helper()
	if err := r.js.DeleteStream(r.t.Context(), "CURFEW"); err != nil {
		r.t.Fatal(err)
	}
	r.create(ledger())
}

func (r *rig) Expire(position uint64) {
	r.t.Helper()
	stream, err := r.js.Stream(r.t.Context(), "CURFEW")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := stream.Purge(r.t.Context(), jetstream.WithPurgeSequence(position+1)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) SetRetention(d time.Duration) {
	r.t.Helper()
	cfg := ledger()
	cfg.MaxAge = d
	if _, err := r.js.UpdateStream(r.t.Context(), cfg); err != nil {
		r.t.Fatal(err)
	}
}

// Backup copies the server's folder, for which the server stops for a moment.
func (r *rig) Backup() {
	r.t.Helper()
	r.srv.Stop()
	copyDir(r.t, r.saved, r.dir)
	r.srv.Restart()
}

func (r *rig) PutBack() {
	r.t.Helper()
	r.srv.Stop()
	copyDir(r.t, r.dir, r.saved)
	r.srv.Restart()
	// SetRetention doesn't try again.
	eventually(r.t, "the server answers", func() bool {
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
		defer cancel()
		_, err := r.js.Stream(ctx, "CURFEW")
		return err == nil
	})
}

func (r *rig) Cut()  { r.proxy.Stall(); r.proxy.Cut() }
func (r *rig) Heal() { r.proxy.Heal() }

// beats stores a beat now and each interval until stop is called or the test ends. A beat that can't be stored is left out, as by
// the beat writer of curfew serve.
func (r *rig) beats(interval time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	var writer sync.WaitGroup
	writer.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for ctx.Err() == nil {
			try, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			_, _ = r.js.Publish(try, events.TopicBeat, nil)
			cancel()
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	stop = func() { cancel(); writer.Wait() }
	r.t.Cleanup(stop)
	return stop
}

// open opens a replica. It stores one beat, for without any no replica opens; what stays fresh needs beats.
func (r *rig) open(cfg revocation.Config) *revocation.Replica {
	r.t.Helper()
	cfg.Feed = r.feed
	r.Beat()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	replica, err := revocation.Open(ctx, cfg)
	if err != nil {
		r.t.Fatalf("Open: %v", err)
	}
	r.t.Cleanup(func() { _ = replica.Close() })
	return replica
}

// eventually waits until reached returns true. There is no hook for what doesn't happen, like a beat that doesn't come.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !reached() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

func waitFor(t *testing.T, replica *revocation.Replica, position uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := replica.WaitFor(ctx, position); err != nil {
		t.Fatalf("WaitFor(%d) = %v; %+v", position, err, replica.Status())
	}
}

// logout returns an event that ends session n of a user.
func logout(n int) *events.SessionRevoked {
	return &events.SessionRevoked{
		Common: events.Common{
			ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", n), Time: time.Now(), Source: "test", Tenant: events.DefaultTenant,
			Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
		},
		Session: fmt.Sprint(n), User: "ada",
	}
}

func session(n int) revocation.Session {
	return revocation.Session{ID: fmt.Sprint(n), User: "ada", AuthTime: time.Now().Add(-time.Hour)}
}
