package sessions_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/redistest"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/services/sessions"
)

// answer is what there is to tell of a registration.
type answer struct {
	status       int
	Code, Detail string
}

func (d *desk) tryRegister(t *testing.T, body string) (a answer) {
	t.Helper()
	a.status = d.call(t, http.MethodPost, "/v1/sessions", body, &a)
	return a
}

// TestMaxPerUser: a user with as many sessions as may go on gets no other one, keeps those that are there, and has room again as soon as one is over.
func TestMaxPerUser(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		var refused atomic.Int32
		d := newDesk(t, b, open, sessions.Timing{}, func(cfg *sessions.Config) {
			cfg.MaxPerUser = 3
			cfg.Metrics = sessions.NewMetrics(prometheus.NewRegistry(), func(code string) {
				if code == "too_many_sessions" {
					refused.Add(1)
				}
			})
		})
		want := func(status int, body string) {
			t.Helper()
			if got := d.tryRegister(t, body); got.status != status {
				t.Errorf("%s: %d %s, want %d", body, got.status, got.Code, status)
			}
		}
		for _, id := range []string{"s-1", "s-2", "s-3"} {
			want(http.StatusCreated, `{"session":"`+id+`","user":"ada-`+planted+`","client":"c-`+id+`"}`)
		}
		got := d.tryRegister(t, `{"session":"s-4","user":"ada-`+planted+`"}`)
		if got.status != http.StatusTooManyRequests || got.Code != "too_many_sessions" || strings.Contains(got.Detail, planted) {
			t.Errorf("one too many: %+v", got)
		}
		for _, said := range []string{"3 sessions", "sessions.max_per_user", "DELETE /v1/sessions/{session}", "curfew revoke user"} {
			if !strings.Contains(got.Detail, said) {
				t.Errorf("%q isn't said in: %s", said, got.Detail)
			}
		}
		if refused.Load() != 1 {
			t.Errorf("counted %d times by its code, want once", refused.Load())
		}
		if _, err := d.store.Session(t.Context(), sessionstore.Key{Tenant: "acme", ID: "s-4"}); err == nil {
			t.Error("refused, and stored")
		}
		want(http.StatusOK, `{"session":"s-2","user":"ada-`+planted+`"}`)
		want(http.StatusConflict, `{"session":"s-2","user":"eve"}`)
		want(http.StatusCreated, `{"user":"eve"}`)
		// One is over by its name, and then one by a logout that nobody notes session by session.
		d.publish(t, b, &events.SessionRevoked{Common: common(t, events.ReasonUserLogout), Session: "s-1"})
		want(http.StatusConflict, `{"session":"s-1","user":"ada-`+planted+`"}`)
		want(http.StatusCreated, `{"session":"s-5","user":"ada-`+planted+`"}`)
		want(http.StatusTooManyRequests, `{"session":"s-6","user":"ada-`+planted+`"}`)
		d.publish(t, b, &events.ClientLoggedOut{Common: common(t, events.ReasonPolicy), Client: "c-s-2", Cutoff: events.Floor(time.Now())})
		want(http.StatusCreated, `{"session":"s-6","user":"ada-`+planted+`"}`)
		want(http.StatusTooManyRequests, `{"user":"ada-`+planted+`"}`)
	})
}

// TestMaxPerUserCountsWhatEnds: sessions that were ended and noted, a claimed one, and one past its end take no room.
func TestMaxPerUserCountsWhatEnds(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		d := newDesk(t, b, open, sessions.Timing{}, func(cfg *sessions.Config) { cfg.MaxPerUser = 1 })
		now := events.Floor(time.Now())
		for id, change := range map[string]func(*sessionstore.Session){
			"noted": func(s *sessionstore.Session) {
				s.Ended = &sessionstore.End{At: now, Reason: events.ReasonAdmin, Position: 1}
			},
			"claimed": func(s *sessionstore.Session) {
				s.Ended = &sessionstore.End{At: now, Reason: events.ReasonMaxAge, Event: "e"}
			},
			"past": func(s *sessionstore.Session) { s.ExpiresAt = now.Add(-time.Second) },
		} {
			s := sessionstore.Session{Tenant: "acme", ID: id, User: "ada", AuthTime: now.Add(-time.Hour), CreatedAt: now.Add(-time.Hour), SeenAt: now, ExpiresAt: now.Add(time.Hour)}
			change(&s)
			if _, _, err := d.store.Create(t.Context(), s, now.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		if got := d.tryRegister(t, `{"user":"ada"}`); got.status != http.StatusCreated {
			t.Errorf("none goes on: %d %s", got.status, got.Code)
		}
		if got := d.tryRegister(t, `{"user":"ada"}`); got.status != http.StatusTooManyRequests {
			t.Errorf("one goes on, as many as may: %d %s", got.status, got.Code)
		}
		if n := testutil.ToFloat64(d.metrics.Registered.WithLabelValues("refused")); n != 1 {
			t.Errorf("%v registrations are counted as refused, want 1", n)
		}
	})
}

// TestMaxPerUserOff: without a bound nothing is counted; and by default it is what a list can hold.
func TestMaxPerUserOff(t *testing.T) {
	b := ledgerBus(t)
	now := events.Floor(time.Now())
	for _, test := range []struct {
		name   string
		max    int
		status int
	}{{"off", -1, http.StatusCreated}, {"by default", 0, http.StatusTooManyRequests}} {
		t.Run(test.name, func(t *testing.T) {
			store := sessionstore.NewMemory()
			d := newDesk(t, b, func(*testing.T, sessions.Timing) sessionstore.Store { return store }, sessions.Timing{}, func(cfg *sessions.Config) { cfg.MaxPerUser = test.max })
			for i := range sessionstore.MaxListed {
				s := sessionstore.Session{Tenant: "acme", ID: "s-" + ms(now.Add(time.Duration(i)*time.Millisecond)), User: "ada", AuthTime: now, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(maxAge)}
				if _, _, err := store.Create(t.Context(), s, s.ExpiresAt); err != nil {
					t.Fatal(err)
				}
			}
			if got := d.tryRegister(t, `{"user":"ada"}`); got.status != test.status {
				t.Errorf("got %d %s, want %d", got.status, got.Code, test.status)
			}
		})
	}
}

// TestMaxPerUserWithABadEntry: one of the user's sessions in Redis can't be read. That keeps nobody from signing in.
func TestMaxPerUserWithABadEntry(t *testing.T) {
	server := redistest.Start(t)
	d := newDesk(t, ledgerBus(t), redisStore(server), sessions.Timing{}, func(cfg *sessions.Config) { cfg.MaxPerUser = 2 })
	d.register(t, `{"session":"bad","user":"ada"}`)
	server.Do(t, "SET curfew:session:"+sessionstore.NewHasher([]byte("key")).Session(sessionstore.Key{Tenant: "acme", ID: "bad"})+" garbage")
	if got := d.tryRegister(t, `{"user":"ada"}`); got.status != http.StatusCreated {
		t.Errorf("%d %s", got.status, got.Code)
	}
	server.Stop()
	if got := d.tryRegister(t, `{"user":"ada"}`); got.status != http.StatusServiceUnavailable || got.Code != "registry_unavailable" {
		t.Errorf("while Redis is away: %d %s", got.status, got.Code)
	}
}
