package sessions_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/services/sessions"
)

// TestIdleOnce: several processes sweep, and people touch some of the sessions meanwhile. Each idle session is ended by one event; none is ended before it was
// idle for as long as it may be, and none whose touch was taken after that.
func TestIdleOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		const all, kept = 120, 40
		timing := sessions.Timing{IdleTimeout: 700 * time.Millisecond, Notice: 200 * time.Millisecond}
		var desks []*desk
		for range 3 {
			desks = append(desks, newDesk(t, b, open, timing, nil))
		}
		for i := range all {
			desks[i%3].register(t, `{"session":"s-`+strconv.Itoa(i)+`","user":"u-`+strconv.Itoa(i%7)+`"}`)
		}
		for _, d := range desks {
			d.sweep(t)
		}
		touching, stop := context.WithCancel(t.Context())
		defer stop()
		var taken [all]atomic.Int64
		var work sync.WaitGroup
		for _, d := range desks {
			work.Go(func() {
				for touching.Err() == nil {
					// The first are touched in time, and some others just about.
					id := rand.IntN(kept)
					if rand.IntN(4) == 0 {
						id = kept + rand.IntN(20)
						if rand.IntN(3) > 0 {
							continue
						}
					}
					at := time.Now().Truncate(time.Millisecond)
					got, err := d.store.Touch(t.Context(), "acme", []sessionstore.Touch{{ID: "s-" + strconv.Itoa(id), At: at}})
					if err != nil {
						t.Error(err)
						return
					}
					if got[0].Outcome == sessionstore.Taken {
						for seen := taken[id].Load(); seen < at.UnixMilli() && !taken[id].CompareAndSwap(seen, at.UnixMilli()); seen = taken[id].Load() {
						}
					}
				}
			})
		}
		await(t, "those that nobody touches have ended", func() bool {
			ends := stored(t, b)
			for i := kept + 20; i < all; i++ {
				if len(ends["s-"+strconv.Itoa(i)]) == 0 {
					return false
				}
			}
			return true
		})
		stop()
		work.Wait()
		await(t, "all have ended", func() bool { return len(stored(t, b)) == all })
		// One more turn of each sweeper, in which nothing may happen any more.
		waitTurns(t, desks)
		for id, ends := range stored(t, b) {
			i, _ := strconv.Atoi(id[2:])
			if len(ends) != 1 {
				t.Errorf("%s was ended %d times", id, len(ends))
			}
			e := ends[0]
			if idle := e.Time.Sub(time.UnixMilli(taken[i].Load())); idle < timing.IdleTimeout {
				t.Errorf("%s was ended %v after a touch that was taken", id, idle)
			}
			if e.Reason != events.ReasonIdleTimeout || e.User == "" || e.Initiator.Type != events.InitiatorPolicy {
				t.Errorf("%s: %+v", id, e)
			}
		}
	})
}

// waitTurns lets each sweeper look once more: what is registered as due by then has ended.
func waitTurns(t *testing.T, desks []*desk) {
	t.Helper()
	for i, d := range desks {
		id := "turn-" + strconv.Itoa(i) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
		d.register(t, `{"session":"`+id+`","user":"nobody"}`)
		await(t, "a turn", func() bool {
			var v sessions.View
			d.call(t, http.MethodGet, "/v1/sessions/"+id, "", &v)
			return v.State == sessions.StateEnded
		})
	}
}

// TestWarning: tabs are told before, once; a touch calls it off, and tells them so; then it begins anew.
func TestWarning(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		d, other := newDesk(t, b, open, sessions.Timing{IdleTimeout: 2 * time.Second, Notice: 1500 * time.Millisecond}, nil), (*desk)(nil)
		other = newDesk(t, b, open, sessions.Timing{IdleTimeout: 2 * time.Second, Notice: 1500 * time.Millisecond}, nil)
		begun := d.register(t, `{"session":"s-1","user":"ada"}`)
		d.sweep(t)
		other.sweep(t)
		warnings := func() []gateways.Hint {
			return append(d.told(gateways.HintExpiring, "s-1"), other.told(gateways.HintExpiring, "s-1")...)
		}
		await(t, "a warning", func() bool { return len(warnings()) > 0 })
		if h := warnings()[0]; h.Reason != events.ReasonIdleTimeout || !h.At.Equal(begun.CreatedAt.Add(2*time.Second)) || h.User != "ada" || h.Tenant != "acme" {
			t.Errorf("warned of %+v", h)
		}
		var touched sessions.TouchResult
		if status := other.call(t, http.MethodPost, "/v1/sessions/s-1/touch", "", &touched); status != http.StatusOK {
			t.Fatal(status)
		}
		if got := touched.IdleExpiresAt.Sub(touched.LastSeenAt); got != 2*time.Second {
			t.Errorf("it ends %v after the touch", got)
		}
		if n := len(other.told(gateways.HintRenewed, "s-1")); n != 1 {
			t.Errorf("told %d times that it is called off", n)
		}
		await(t, "its end", func() bool { return len(stored(t, b)["s-1"]) > 0 })
		if got := warnings(); len(got) != 2 || !got[1].At.Equal(touched.IdleExpiresAt) && !got[0].At.Equal(touched.IdleExpiresAt) {
			t.Errorf("warned %d times: %+v", len(got), got)
		}
		if end := stored(t, b)["s-1"][0]; end.Time.Before(touched.IdleExpiresAt) {
			t.Errorf("ended %v before its time", touched.IdleExpiresAt.Sub(end.Time))
		}
	})
}

// TestMaxAgeIsTold: the ledger hears of the absolute end of a session, and a touch doesn't put it off.
func TestMaxAgeIsTold(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		d := newDesk(t, b, open, sessions.Timing{Notice: 1500 * time.Millisecond}, nil)
		end := events.Floor(time.Now().Add(2500 * time.Millisecond))
		got := d.register(t, `{"session":"s-1","user":"ada","client":"web","expires_at":"`+end.UTC().Format(time.RFC3339Nano)+`"}`)
		d.sweep(t)
		await(t, "a warning", func() bool { return len(d.told(gateways.HintExpiring, "s-1")) > 0 })
		if status := d.call(t, http.MethodPost, "/v1/sessions/s-1/touch", "", nil); status != http.StatusOK {
			t.Fatal(status)
		}
		if len(d.told(gateways.HintRenewed, "s-1")) > 0 {
			t.Error("told that the end is called off, and it isn't")
		}
		await(t, "its end", func() bool { return len(stored(t, b)["s-1"]) > 0 })
		e := stored(t, b)["s-1"][0]
		if e.Reason != events.ReasonMaxAge || e.Time.Before(end) || e.Client != "web" || !e.AuthTime.Equal(got.AuthTime) {
			t.Errorf("%+v", e)
		}
		// Replicas take its token for alive up to max age, whatever the application said.
		if want := got.AuthTime.Add(maxAge + leeway); e.ExpiresAt.Before(want) {
			t.Errorf("remembered until %v, want %v", e.ExpiresAt, want)
		}
	})
}

// TestRevokedIsNotEndedAgain: a session that the ledger has ended already is noted and not published again.
func TestRevokedIsNotEndedAgain(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		d := newDesk(t, b, open, sessions.Timing{IdleTimeout: 300 * time.Millisecond}, nil)
		d.register(t, `{"session":"s-1","user":"ada","client":"web"}`)
		d.publish(t, b, &events.ClientLoggedOut{Common: common(t, events.ReasonPolicy), Client: "web", Cutoff: events.Floor(time.Now())})
		d.sweep(t)
		await(t, "it is noted", func() bool {
			s, err := d.store.Session(t.Context(), sessionstore.Key{Tenant: "acme", ID: "s-1"})
			return err == nil && s.Ended != nil && s.Ended.Reason == events.ReasonPolicy && s.Ended.Position > 0
		})
		if len(stored(t, b)) != 0 {
			t.Errorf("published again: %v", stored(t, b))
		}
	})
}

// brokenStream fails as long as it is told to; after is whether the event is stored all the same.
type brokenStream struct {
	sessions.Stream
	broken, after atomic.Bool
}

func (s *brokenStream) PublishAck(ctx context.Context, topic string, msg *message.Message) (bus.Ack, error) {
	if !s.broken.Load() {
		return s.Stream.PublishAck(ctx, topic, msg)
	}
	if s.after.Load() {
		_, _ = s.Stream.PublishAck(ctx, topic, msg)
	}
	return bus.Ack{}, errors.New("the connection was lost")
}

// TestCrashAfterClaim: who has claimed a session crashes before or after the event was stored. Another one finishes it, and there is one event.
func TestCrashAfterClaim(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		for _, published := range []bool{false, true} {
			id := "s-" + strconv.FormatBool(published)
			timing := sessions.Timing{IdleTimeout: time.Hour}
			var stream *brokenStream
			d := newDesk(t, b, open, timing, func(cfg *sessions.Config) {
				stream = &brokenStream{Stream: cfg.Stream}
				cfg.Stream = stream
			})
			d.register(t, `{"session":"`+id+`","user":"ada"}`)
			key := sessionstore.Key{Tenant: "acme", ID: id}
			// As after a claim of half a minute ago.
			claim := sessionstore.End{At: events.Floor(time.Now()).Add(-30 * time.Second), Reason: events.ReasonIdleTimeout, Event: common(t, "admin").ID}
			if _, ok, err := d.store.End(t.Context(), key, claim, time.Time{}); err != nil || !ok {
				t.Fatal(ok, err)
			}
			if err := d.store.Postpone(t.Context(), key, time.Now()); err != nil {
				t.Fatal(err)
			}
			stream.broken.Store(true)
			stream.after.Store(published)
			d.sweep(t)
			await(t, "a failure", func() bool { s := d.log.String(); return len(s) > 0 })
			touched, err := d.store.Touch(t.Context(), "acme", []sessionstore.Touch{{ID: id, At: time.Now()}})
			if err != nil || touched[0].Outcome != sessionstore.Over {
				t.Errorf("a touch of a claimed session: %+v, %v", touched, err)
			}
			stream.broken.Store(false)
			if err := d.store.Postpone(t.Context(), key, time.Now()); err != nil {
				t.Fatal(err)
			}
			await(t, "its end", func() bool {
				s, err := d.store.Session(t.Context(), key)
				return err == nil && !s.Ended.Pending()
			})
			if ends := stored(t, b)[id]; len(ends) != 1 || ends[0].ID != claim.Event {
				t.Errorf("stored before the crash %v: %d events, %+v", published, len(ends), ends)
			}
		}
	})
}
