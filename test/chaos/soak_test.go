package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// soakTime is how long the soak test runs.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	d := 20 * time.Second
	if testing.Short() {
		d = 5 * time.Second
	}
	if s := os.Getenv("SOAK"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			t.Fatalf("SOAK: %v", err)
		}
	}
	return d
}

const (
	// soakMaxAge is short, for what has expired is forgotten within some hundredths of it.
	soakMaxAge = 4 * time.Minute
	soakLeeway = 50 * time.Millisecond
)

// Three replicas are held to the model in every answer, while events of every kind come and expire, links break, replicas are closed and opened again
// from their snapshots, and the server is restarted.
func TestSoak(t *testing.T) {
	s := newSoak(t)
	ctx, cancel := context.WithTimeout(t.Context(), soakTime(t))
	defer cancel()
	var work sync.WaitGroup
	work.Go(func() { s.publish(ctx) })
	for i := range s.replicas {
		work.Go(func() { s.check(ctx, i) })
	}
	s.disturb(ctx)
	work.Wait()
	s.settle()
	n, _ := s.model.size()
	t.Logf("%d events; %d answers: %d revoked, %d active, %d undetermined; %d entries expired, %d snapshots begun from", n,
		s.answers[0].Load()+s.answers[1].Load()+s.answers[2].Load(), s.answers[revocation.Revoked].Load(), s.answers[revocation.Active].Load(),
		s.answers[revocation.Undetermined].Load(), s.expired.Load(), s.loaded.Load())
}

// soak is the server, its replicas, and the model.
type soak struct {
	t     *testing.T
	srv   *natstest.Server
	bus   *bus.Bus
	model *model

	replicas [3]struct {
		proxy *natstest.Proxy
		js    jetstream.JetStream
		// now is nil while the replica is closed. Its answers are asked for by the checker alone.
		now atomic.Pointer[revocation.Replica]
	}
	answers         [3]atomic.Int64
	expired, loaded atomic.Int64
	dir             string
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	s := &soak{t: t, srv: natstest.Start(t), model: newModel(), dir: t.TempDir()}
	s.bus = natstest.Open(t, bus.Config{URL: s.srv.URL()})
	beating, stop := context.WithCancel(t.Context())
	var beats sync.WaitGroup
	beats.Go(func() { _ = s.bus.Beat(beating, bus.BeaterConfig{Interval: beat, Source: "soak"}) })
	t.Cleanup(func() { stop(); beats.Wait() })
	for i := range s.replicas {
		r := &s.replicas[i]
		r.proxy = natstest.NewProxy(t, s.srv.Addr())
		nc, err := nats.Connect(r.proxy.URL(), revocationnats.Options(fmt.Sprintf("soak-%d", i))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		if r.js, err = jetstream.New(nc); err != nil {
			t.Fatal(err)
		}
		s.open(i)
		t.Cleanup(func() { _ = r.now.Load().Close() })
	}
	return s
}

func (s *soak) open(i int) {
	s.t.Helper()
	r := &s.replicas[i]
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	replica, err := revocation.Open(ctx, revocation.Config{
		Feed: revocationnats.NewFeed(r.js, feedConfig), MaxAge: soakMaxAge, Leeway: soakLeeway, StalenessBudget: budget,
		SweepInterval: 200 * time.Millisecond, SnapshotFile: filepath.Join(s.dir, fmt.Sprintf("replica-%d", i)), SnapshotInterval: 500 * time.Millisecond,
		Hooks: revocation.Hooks{
			Expired:         func(n int) { s.expired.Add(int64(n)) },
			SnapshotLoaded:  func(string, revocation.SnapshotInfo) { s.loaded.Add(1) },
			SnapshotRefused: func(from string, err error) { s.t.Errorf("snapshot %s refused: %v", from, err) },
			SnapshotFailed: func(to string, err error) {
				if !errors.Is(err, context.Canceled) { // Close doesn't wait for it
					s.t.Errorf("snapshot %s not written: %v", to, err)
				}
			},
			Skipped: func(position uint64, err error) { s.t.Errorf("%d skipped: %v", position, err) },
		},
	})
	if err != nil {
		s.t.Fatalf("open replica %d: %v", i, err)
	}
	r.now.Store(replica)
}

// publish sends some 100 events a second. One that isn't acknowledged is sent again until it is, with the same id.
func (s *soak) publish(ctx context.Context) {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		e := randomEvent()
		data, err := events.Encode(e)
		if err != nil {
			s.t.Errorf("encode: %v", err)
			return
		}
		r := s.model.sent(e)
		for acknowledged := false; !acknowledged; {
			try, cancel := context.WithTimeout(context.WithoutCancel(ctx), 300*time.Millisecond)
			ack, err := s.bus.Publisher().PublishAck(try, events.TopicOf(e).String(), message.NewMessage(e.Meta().ID, data))
			cancel()
			if acknowledged = err == nil; acknowledged {
				s.model.acknowledged(r, ack.Position)
				break
			}
			select {
			case <-s.t.Context().Done():
				return
			case <-pace.C:
			}
		}
	}
}

// check asks a replica about random sessions, and holds each answer to the model.
func (s *soak) check(ctx context.Context, i int) {
	// So that two cores have time left for what is to be checked.
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		replica := s.replicas[i].now.Load()
		for range 10 {
			s.ask(i, replica, randomSession())
		}
	}
}

func (s *soak) ask(i int, replica *revocation.Replica, session revocation.Session) {
	before := time.Now()
	d := replica.Check(session)
	after := time.Now()
	s.answers[d.State].Add(1)
	known := func(r *record) bool { return r.position > 0 && r.position <= d.Position && r.live(after) }
	late := func(r *record) bool { return r.position > 0 && before.Sub(r.at) > budget && r.live(after) }
	switch {
	case d.State == revocation.Revoked:
		if !s.model.anyOf(session, func(*record) bool { return true }) {
			s.t.Errorf("replica %d refuses %+v by %s at %d, which nothing ends", i, session, d.Scope, d.EventPosition)
		}
	case s.model.anyOf(session, known):
		s.t.Errorf("replica %d at %d says that %+v is %v (%v), which is over", i, d.Position, session, d.State, d.Cause)
	case d.State == revocation.Active && s.model.anyOf(session, late):
		s.t.Errorf("replica %d at %d lets %+v pass, which was ended longer ago than the budget", i, d.Position, session)
	}
}

// disturb breaks something every second or so, and sees to it that nothing stays broken.
func (s *soak) disturb(ctx context.Context) {
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(200*time.Millisecond + rand.N(800*time.Millisecond)):
		}
		i := n % len(s.replicas)
		switch r := &s.replicas[i]; rand.N(8) {
		case 0, 1:
			r.proxy.Cut()
		case 2, 3:
			r.proxy.Stall()
			select {
			case <-ctx.Done():
			case <-time.After(rand.N(3 * budget)):
			}
			r.proxy.Heal()
		case 4, 5, 6:
			_ = r.now.Load().Close()
			s.open(i)
		case 7:
			s.srv.Restart()
		}
	}
}

// settle waits until all replicas have applied everything and forgotten what has expired, and compares them.
func (s *soak) settle() {
	t := s.t
	t.Helper()
	_, last := s.model.size()
	for i := range s.replicas {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := s.replicas[i].now.Load().WaitFor(ctx, last)
		cancel()
		if err != nil {
			t.Fatalf("replica %d never comes to %d: %v; %+v", i, last, err, s.replicas[i].now.Load().Status())
		}
	}
	defer func() {
		for i := range s.replicas {
			r := s.replicas[i].now.Load()
			t.Logf("replica %d: %x %+v", i, r.Digest(), r.Status())
		}
	}()
	eventually(t, "the replicas agree", func() bool {
		digest := s.replicas[0].now.Load().Digest()
		return digest == s.replicas[1].now.Load().Digest() && digest == s.replicas[2].now.Load().Digest()
	})
	for i := range s.replicas {
		for range 2000 {
			s.ask(i, s.replicas[i].now.Load(), randomSession())
		}
	}
	if s.answers[revocation.Revoked].Load() == 0 || s.answers[revocation.Active].Load() == 0 || s.expired.Load() == 0 {
		t.Error("nobody was refused, nobody passed or nothing has expired: the test shows nothing")
	}
}

// randomSession returns a session out of a few, so that events meet it. Every other one has an end that its revocation tells.
func randomSession() revocation.Session {
	return revocation.Session{
		Tenant: fmt.Sprintf("t%d", rand.N(4)), ID: fmt.Sprintf("%c%d", "se"[rand.N(2)], rand.N(1500)), User: fmt.Sprintf("u%d", rand.N(1000)), Device: fmt.Sprintf("d%d", rand.N(1000)),
		Client: fmt.Sprintf("c%d", rand.N(50)), AuthTime: randomTime(),
	}
}

// randomTime returns a time in whole milliseconds from which max age lies ahead.
func randomTime() time.Time {
	return time.Now().Add(-time.Second - rand.N(soakMaxAge*3/4)).Truncate(time.Millisecond)
}

func randomEvent() events.Event {
	s := randomSession()
	c := events.Common{
		ID: uuid.Must(uuid.NewV7()).String(), Time: time.Now(), Source: "soak", Tenant: s.Tenant,
		Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
	}
	// A session whose end is known is ended by nothing else that names it: of two events of which one is forgotten earlier, a replica that has read both
	// at once goes on naming the graver one.
	if s.ID[0] == 'e' {
		return &events.SessionRevoked{Common: c, Session: s.ID, User: s.User, SessionExpiresAt: time.Now().Add(200*time.Millisecond + rand.N(2*time.Second))}
	}
	switch rand.N(10) {
	case 0:
		return &events.TenantLoggedOut{Common: c, Cutoff: time.Now().Add(-soakMaxAge * 5 / 8)}
	case 1:
		return &events.ClientLoggedOut{Common: c, Client: s.Client, Cutoff: s.AuthTime}
	case 2, 3:
		return &events.DeviceLoggedOut{Common: c, Device: s.Device, Cutoff: s.AuthTime}
	case 4, 5, 6:
		return &events.UserLoggedOutEverywhere{Common: c, User: s.User, Cutoff: s.AuthTime, Except: []string{randomSession().ID}}
	case 7:
		return &events.UserLoggedOutEverywhere{Common: c, User: s.User, Cutoff: s.AuthTime, KnownSessions: []string{s.ID}}
	}
	return &events.SessionRevoked{Common: c, Session: s.ID, User: s.User}
}
