package sessions_test

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/redistest"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
	"github.com/curfewhq/curfew/services/sessions"
)

func ms(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 10) }

// TestIdleEndOutlivesTheToken: a session was registered long ago, and its user has proved again who they are meanwhile, so the token's auth time is a later one (ADR 0020).
// It ends as idle. Its cookie, which somebody has copied, must not work again once the registered auth time is past max age.
func TestIdleEndOutlivesTheToken(t *testing.T) {
	b := ledgerBus(t)
	const short = time.Minute
	var timing sessions.Timing
	d := newDesk(t, b, kv(b), sessions.Timing{IdleTimeout: 300 * time.Millisecond}, func(cfg *sessions.Config) {
		cfg.Timing.MaxAge, cfg.Leeway = short, time.Second
		timing = cfg.Timing
	})
	replica, err := revocation.Open(t.Context(), revocation.Config{
		Feed: revocationnats.NewFeed(b.JetStream(), revocationnats.Config{}), MaxAge: short, Leeway: time.Second, SweepInterval: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	proved := time.Now() // again
	d.register(t, `{"session":"s-1","user":"ada","auth_time_ms":`+ms(proved.Add(-timing.MaxAge+4*time.Second))+`}`)
	d.sweep(t)
	token := revocation.Session{Tenant: "acme", ID: "s-1", User: "ada", AuthTime: proved}
	await(t, "its end", func() bool { return replica.Check(token).State == revocation.Revoked })
	e := stored(t, b)["s-1"][0]
	if want := e.Time.Add(short); e.ExpiresAt.Before(want) {
		t.Errorf("to be remembered until %v after its end, want max age: %v", e.ExpiresAt.Sub(e.Time), short)
	}
	over := time.After(12 * time.Second)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for watching := true; watching; {
		select {
		case <-over:
			watching = false
		case <-look.C:
		}
		if got := replica.Check(token); got.State == revocation.Active {
			t.Fatalf("%v after it was ended, and %v before the token's max age, the session is %v again", time.Since(e.Time), time.Until(proved.Add(short)), got.State)
		}
	}
}

// TestOneBadEntryStopsNobody: one session's value in Redis isn't one any more. Others still end.
func TestOneBadEntryStopsNobody(t *testing.T) {
	server := redistest.Start(t)
	b := ledgerBus(t)
	d := newDesk(t, b, redisStore(server), sessions.Timing{IdleTimeout: 300 * time.Millisecond}, nil)
	const all = 100
	d.register(t, `{"session":"bad","user":"ada"}`)
	for i := range all {
		d.register(t, `{"session":"s-`+strconv.Itoa(i)+`","user":"ada"}`)
	}
	server.Do(t, "SET curfew:session:"+hasher().Session(sessionstore.Key{Tenant: "acme", ID: "bad"})+" garbage")
	d.sweep(t)
	awaitEnds(t, b, all, 8*time.Second)
}

// TestRegisterAgainWhatIsOver: the ledger has ended the client's sessions. Who registers one of them again, or touches it, is to be told so.
func TestRegisterAgainWhatIsOver(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		d := newDesk(t, b, open, sessions.Timing{IdleTimeout: time.Hour}, nil)
		begun := d.register(t, `{"session":"s-1","user":"ada","client":"web"}`)
		d.publish(t, b, &events.ClientLoggedOut{Common: common(t, events.ReasonPolicy), Client: "web", Cutoff: events.Floor(time.Now())})
		if dec := d.replica.Check(revocation.Session{Tenant: "acme", ID: "s-1", User: "ada", Client: "web", AuthTime: begun.AuthTime}); dec.State != revocation.Revoked {
			t.Fatal(dec.State)
		}
		if status := d.call(t, http.MethodPost, "/v1/sessions", `{"session":"s-1","user":"ada","client":"web"}`, nil); status != http.StatusConflict {
			t.Errorf("register again: %d, want 409 session_ended", status)
		}
		var got sessions.TouchResult
		if status := d.call(t, http.MethodPost, "/v1/sessions/s-1/touch", "", &got); status != http.StatusConflict {
			t.Errorf("touch: %d %+v, want 409 session_ended", status, got)
		}
	})
}

// TestWhenItEnded: a session that a client's logout has ended an hour ago is noted when it is due. People are told when it ended, and not when that was noted.
func TestWhenItEnded(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		d := newDesk(t, b, open, sessions.Timing{IdleTimeout: 1500 * time.Millisecond}, nil)
		d.register(t, `{"session":"s-1","user":"ada","client":"web"}`)
		out := &events.ClientLoggedOut{Common: common(t, events.ReasonPolicy), Client: "web", Cutoff: events.Floor(time.Now())}
		d.publish(t, b, out)
		d.sweep(t)
		var v sessions.View
		await(t, "it is noted", func() bool {
			d.call(t, http.MethodGet, "/v1/sessions/s-1", "", &v)
			return !v.EndedAt.IsZero()
		})
		if late := v.EndedAt.Sub(out.Time); late > 500*time.Millisecond {
			t.Errorf("people are told that it ended %v after it did", late)
		}
	})
}

// TestAbsoluteEndHolds: a touch doesn't promise more than the session's absolute end, and isn't taken after it.
func TestAbsoluteEndHolds(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		d := newDesk(t, b, open, sessions.Timing{IdleTimeout: time.Hour}, nil)
		end := events.Floor(time.Now().Add(time.Second))
		got := d.register(t, `{"session":"s-1","user":"ada","expires_at":"`+end.Format(time.RFC3339Nano)+`"}`)
		var touched sessions.TouchResult
		d.call(t, http.MethodPost, "/v1/sessions/s-1/touch", "", &touched)
		if touched.IdleExpiresAt.After(got.ExpiresAt) {
			t.Errorf("told that it ends at %v unless it is touched, and it ends at %v", touched.IdleExpiresAt, got.ExpiresAt)
		}
		await(t, "its end", func() bool { return time.Now().After(end.Add(10 * time.Millisecond)) })
		if status := d.call(t, http.MethodPost, "/v1/sessions/s-1/touch", "", nil); status == http.StatusOK {
			t.Error("a touch after the absolute end is told that the session goes on")
		}
	})
}

// TestStoppedAfterItsClaim: 1. a process claims a session and is stopped; 2. it goes on after its claim is over. It leaves the session to others, who may have published its end long ago.
func TestStoppedAfterItsClaim(t *testing.T) {
	b := ledgerBus(t)
	var published atomic.Int32
	d := newDesk(t, b, kv(b), sessions.Timing{IdleTimeout: 300 * time.Millisecond}, func(cfg *sessions.Config) {
		cfg.Stream = counted{cfg.Stream, &published}
		cfg.Store = &lateClaim{Store: cfg.Store}
	})
	d.register(t, `{"session":"s-1","user":"ada"}`)
	d.sweep(t)
	await(t, "its end is noted", func() bool {
		s, err := d.store.Session(t.Context(), sessionstore.Key{Tenant: "acme", ID: "s-1"})
		return err == nil && s.Ended != nil && !s.Ended.Pending()
	})
	if n := published.Load(); n != 1 {
		t.Errorf("published %d times", n)
	}
}

// lateClaim makes a claim look as if its process had been stopped since.
type lateClaim struct{ sessionstore.Store }

func (l *lateClaim) End(ctx context.Context, key sessionstore.Key, end sessionstore.End, seen time.Time) (sessionstore.Session, bool, error) {
	if end.Pending() {
		end.At = end.At.Add(-time.Minute)
	}
	return l.Store.End(ctx, key, end, seen)
}

// counted counts what is published.
type counted struct {
	sessions.Stream
	n *atomic.Int32
}

func (c counted) PublishAck(ctx context.Context, topic string, msg *message.Message) (bus.Ack, error) {
	c.n.Add(1)
	return c.Stream.PublishAck(ctx, topic, msg)
}

// TestIdleTimeoutIsTurnedOn: there was none, so nobody touched. Turning it on mustn't sign everybody out at once and unwarned.
func TestIdleTimeoutIsTurnedOn(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		before := open(t, sessions.Timing{MaxAge: maxAge})
		begun := events.Floor(time.Now()).Add(-24 * time.Hour)
		s := sessionstore.Session{Tenant: "acme", ID: "s-1", User: "ada", AuthTime: begun, CreatedAt: begun, SeenAt: begun, ExpiresAt: begun.Add(maxAge)}
		if _, _, err := before.Create(t.Context(), s, sessions.Timing{MaxAge: maxAge}.Due(s)); err != nil {
			t.Fatal(err)
		}
		d := newDesk(t, b, open, sessions.Timing{IdleTimeout: 3 * time.Second, Notice: 2500 * time.Millisecond, Since: time.Now()}, nil)
		began := time.Now()
		d.sweep(t)
		await(t, "its end", func() bool { return len(stored(t, b)["s-1"]) > 0 })
		if len(d.told(gateways.HintExpiring, "s-1")) == 0 {
			t.Errorf("ended %v after the start, and its tabs weren't told before", stored(t, b)["s-1"][0].Time.Sub(began))
		}
	})
}

// TestEndedAtAfterMaxAgeWasShortened: it isn't in the future, and the ledger hears of the end.
func TestEndedAtAfterMaxAgeWasShortened(t *testing.T) {
	b := ledgerBus(t)
	d := newDesk(t, b, kv(b), sessions.Timing{}, nil)
	begun := events.Floor(time.Now()).Add(-maxAge - time.Hour)
	// As registered while max age was 60 days.
	s := sessionstore.Session{Tenant: "acme", ID: "s-1", User: "ada", AuthTime: begun, CreatedAt: begun, SeenAt: begun, ExpiresAt: begun.Add(2 * maxAge)}
	if _, _, err := d.store.Create(t.Context(), s, sessions.Timing{MaxAge: maxAge}.Due(s)); err != nil {
		t.Fatal(err)
	}
	d.sweep(t)
	var v sessions.View
	d.call(t, http.MethodGet, "/v1/sessions/s-1", "", &v)
	if v.EndedAt.After(time.Now()) {
		t.Errorf("%s, it ended at %v, which is to come", v.State, v.EndedAt)
	}
	waitTurnByAge(t, d)
	if len(stored(t, b)["s-1"]) == 0 {
		t.Error("past max age, and no event tells its tabs")
	}
}

// waitTurnByAge lets the sweeper look again where sessions don't end as idle.
func waitTurnByAge(t *testing.T, d *desk) {
	t.Helper()
	d.register(t, `{"session":"turn","user":"nobody","expires_at":"`+time.Now().Add(500*time.Millisecond).UTC().Format(time.RFC3339Nano)+`"}`)
	await(t, "a turn", func() bool {
		s, err := d.store.Session(t.Context(), sessionstore.Key{Tenant: "acme", ID: "turn"})
		return err == nil && s.Ended != nil && !s.Ended.Pending()
	})
}

// TestOldSessionsAreListed: of a user with a thousand later sessions that have ended, people still see, and a logout still names, one that goes on.
func TestOldSessionsAreListed(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		d := newDesk(t, b, open, sessions.Timing{}, nil)
		d.register(t, `{"session":"thief","user":"ada"}`)
		at := events.Floor(time.Now()).Add(time.Second)
		for i := range sessionstore.MaxListed {
			s := sessionstore.Session{Tenant: "acme", ID: "s-" + strconv.Itoa(i), User: "ada", AuthTime: at, CreatedAt: at, SeenAt: at, ExpiresAt: at.Add(maxAge),
				Ended: &sessionstore.End{At: at, Reason: events.ReasonUserLogout, Position: 1}}
			if _, _, err := d.store.Create(t.Context(), s, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		var list sessions.List
		d.call(t, http.MethodGet, "/v1/users/ada/sessions?ended=false&limit=1000", "", &list)
		if len(list.Sessions) != 1 {
			t.Errorf("of the sessions that go on %d are listed, want 1 (more %v, and no call shows those)", len(list.Sessions), list.More)
		}
		known, err := sessionstore.Known(t.Context(), d.store, "acme", "ada", time.Now().Add(time.Hour))
		if err != nil || len(known) != 1 {
			t.Errorf("known: %v, %v", known, err)
		}
	})
}

// TestKnownAfterAnEarlierCutoff: the registry's clock is two seconds behind. 1. a logout with cutoff C; 2. the user signs in again, and the auth time is stamped after C; 3. a caller
// sends the logout again, with the same cutoff. The new session isn't to be named.
func TestKnownAfterAnEarlierCutoff(t *testing.T) {
	b := ledgerBus(t)
	d := newDesk(t, b, kv(b), sessions.Timing{}, nil)
	cutoff := events.Floor(time.Now()).Add(2 * time.Second) // now, by the publisher's clock
	d.publish(t, b, &events.UserLoggedOutEverywhere{Common: common(t, events.ReasonUserLogout), User: "ada", Cutoff: cutoff})
	got := d.register(t, `{"user":"ada"}`)
	if !got.AuthTime.After(cutoff) {
		t.Fatal("not signed in after it")
	}
	known, err := sessionstore.Known(t.Context(), d.store, "acme", "ada", cutoff)
	if err != nil || len(known) > 0 {
		t.Errorf("a logout up to %v names a session with auth time %v: %v, %v", cutoff, got.AuthTime, known, err)
	}
}

// TestNotingGoesOnBehindABadEntry: an event whose session can't be read is tried again for ever; others are noted.
func TestNotingGoesOnBehindABadEntry(t *testing.T) {
	server := redistest.Start(t)
	b := ledgerBus(t)
	d := newDesk(t, b, redisStore(server), sessions.Timing{}, nil)
	for _, id := range []string{"bad", "good"} {
		d.register(t, `{"session":"`+id+`","user":"ada"}`)
	}
	server.Do(t, "SET curfew:session:"+hasher().Session(sessionstore.Key{Tenant: "acme", ID: "bad"})+" garbage")
	d.follow(t, b)
	for _, id := range []string{"bad", "good"} {
		d.publish(t, b, &events.SessionRevoked{Common: common(t, events.ReasonAdmin), Session: id})
	}
	await(t, "the good one is noted", func() bool {
		s, err := d.store.Session(t.Context(), sessionstore.Key{Tenant: "acme", ID: "good"})
		return err == nil && s.Ended != nil
	})
}

// TestTouchBetweenWarningAndTelling: 1. a sweeper marks a session as warned; 2. it is touched, and its tabs are told that it is called off; 3. the sweeper tells them of the warning.
// What they hear last must be right.
func TestTouchBetweenWarningAndTelling(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		var d *desk
		touched := false
		d = newDesk(t, b, open, sessions.Timing{IdleTimeout: 20 * time.Second, Notice: 19500 * time.Millisecond}, func(cfg *sessions.Config) {
			cfg.Tell = func(h gateways.Hint) error {
				if h.Kind == gateways.HintExpiring && !touched {
					touched = true
					if status := d.call(t, http.MethodPost, "/v1/sessions/s-1/touch", "", nil); status != http.StatusOK {
						t.Error(status)
					}
				}
				return d.tell(h)
			}
		})
		d.register(t, `{"session":"s-1","user":"ada"}`)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = d.svc.Sweep(ctx) }()
		await(t, "a warning", func() bool { return len(d.told(gateways.HintExpiring, "s-1")) > 0 })
		// What is told after it is told in the same turn, which stopping would cut short.
		turns := func() float64 { return testutil.ToFloat64(d.metrics.Sweeps.WithLabelValues("ok")) }
		before := turns()
		await(t, "the end of the turn", func() bool { return turns() > before })
		stop()
		<-done
		d.mu.Lock()
		defer d.mu.Unlock()
		if last := d.hints[len(d.hints)-1]; last.Kind == gateways.HintExpiring {
			t.Errorf("the last that the tabs hear is %s at %v, and the session was touched", last.Kind, last.At)
		}
	})
}

// TestPurgedSessionsStopNobody: an operator has purged the bucket. What was in it can't end; what was registered afterwards still does.
func TestPurgedSessionsStopNobody(t *testing.T) {
	b := ledgerBus(t)
	d := newDesk(t, b, kv(b), sessions.Timing{IdleTimeout: 500 * time.Millisecond}, nil)
	for i := range 16 {
		d.register(t, `{"session":"purged-`+strconv.Itoa(i)+`","user":"ada"}`)
	}
	stream, err := b.JetStream().Stream(t.Context(), "KV_"+bus.SessionsBucket().Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	const all = 50
	for i := range all {
		d.register(t, `{"session":"s-`+strconv.Itoa(i)+`","user":"ada"}`)
	}
	d.sweep(t)
	awaitEnds(t, b, all, 15*time.Second)
}
