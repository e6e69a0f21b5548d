package revocationhttp_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// However many requests a session makes, the registry is told once in an interval, of the last.
func TestTouchesGather(t *testing.T) {
	touching(t, nil, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
		began := time.Now()
		for range 10_000 {
			touches.Touch(sessionOf("", "s1", "ann"))
			lapse(time.Millisecond)
		}
		touches.Touch(sessionOf("default", "s2", ""))
		if got := g.take(); len(got) > 0 {
			t.Errorf("told after %v already: %v", time.Since(began), got)
		}
		lapse(5*time.Second + time.Millisecond)
		want := []string{"default s1 9.999s", "default s2 10s"}
		if diff := cmp.Diff(want, at(began, g.take())); diff != "" {
			t.Errorf("after an interval (-want +got):\n%s", diff)
		}
		// Then nobody does anything.
		lapse(10 * time.Minute)
		touches.Touch(sessionOf("", "s1", "ann"))
		lapse(14 * time.Second)
		if got := g.take(); len(got) > 0 || g.asked() != 1 {
			t.Errorf("told %v, in %d requests", got, g.asked())
		}
		lapse(1001 * time.Millisecond)
		if got := g.take(); len(got) != 1 || g.asked() != 2 {
			t.Errorf("told %v, in %d requests", got, g.asked())
		}
		want2 := revocationhttp.TouchesStats{Gathered: 10_002, Touched: 3}
		if diff := cmp.Diff(want2, touches.Stats()); diff != "" {
			t.Errorf("stats (-want +got):\n%s", diff)
		}
	})
}

// A trickle is told of each interval, and not more often.
func TestTouchesOncePerInterval(t *testing.T) {
	touching(t, func(c *revocationhttp.TouchesConfig) { c.Interval = time.Second }, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
		for range 100 {
			touches.Touch(sessionOf("", "s1", ""))
			lapse(100 * time.Millisecond)
		}
		if n := len(g.take()); n < 8 || n > 10 {
			t.Errorf("told %d times in 10 s", n)
		}
	})
}

// Each tenant's touches go with its own key, and those of a tenant without one go nowhere.
func TestTouchesOfTenants(t *testing.T) {
	touching(t, nil, func(t *testing.T, touches *revocationhttp.Touches, g *registry, f *failures) {
		began := time.Now()
		for _, s := range []revocation.Session{sessionOf("acme", "s1", "ann"), sessionOf("", "s1", "bob"), sessionOf("globex", "s1", "eve"), sessionOf("acme", "s2", "ann")} {
			touches.Touch(s)
		}
		lapse(16 * time.Second)
		got := at(began, g.take())
		want := []string{"default s1 0s", "acme s1 0s", "acme s2 0s"}
		if got[0] != want[0] { // which tenant comes first is nobody's business
			want = []string{want[1], want[2], want[0]}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if s := touches.Stats(); s.Dropped != 1 || s.Touched != 3 || len(f.take()) != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Those that have waited longest are told of first, in requests that the registry takes, some at once.
func TestTouchesBatches(t *testing.T) {
	touching(t, nil, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
		g.block = make(chan struct{})
		for i := range 6500 {
			touches.Touch(sessionOf("", fmt.Sprintf("s%04d", i), ""))
		}
		lapse(16 * time.Second)
		if g.under != revocationhttp.DefaultTouchConcurrent {
			t.Errorf("%d requests at once, want %d", g.under, revocationhttp.DefaultTouchConcurrent)
		}
		close(g.block)
		lapse(time.Second)
		if got := g.take(); len(got) != 6500 || g.asked() != 7 || g.largest != 1000 || g.most != revocationhttp.DefaultTouchConcurrent {
			t.Errorf("%d touches in %d requests of %d at most, %d at once", len(got), g.asked(), g.largest, g.most)
		}
	})
	t.Run("one after the other", func(t *testing.T) {
		touching(t, func(c *revocationhttp.TouchesConfig) { c.MaxConcurrent = 1 }, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
			for i := range 2500 {
				touches.Touch(sessionOf("", fmt.Sprintf("s%04d", i), ""))
			}
			lapse(16 * time.Second)
			for i, got := range g.take() {
				if want := fmt.Sprintf("s%04d", i); got.session != want {
					t.Fatalf("touch %d is of %s", i, got.session)
				}
			}
		})
	})
	t.Run("of the longest ids", func(t *testing.T) {
		touching(t, nil, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
			for i := range 1500 {
				// Each byte takes two in JSON.
				touches.Touch(sessionOf("", fmt.Sprintf("%s%04d", strings.Repeat(`"`, 252), i), strings.Repeat(`\`, 256)))
			}
			lapse(16 * time.Second)
			if got := g.take(); len(got) != 1500 || g.asked() != 2 {
				t.Errorf("%d touches in %d requests", len(got), g.asked())
			}
		})
	})
}

// What can't be kept is dropped and counted; before that the oldest are sent early.
func TestTouchesAreBounded(t *testing.T) {
	touching(t, func(c *revocationhttp.TouchesConfig) { c.MaxSessions = 4000 }, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
		for i := range 3100 {
			touches.Touch(sessionOf("", fmt.Sprintf("s%04d", i), ""))
		}
		synctest.Wait()
		got := g.take()
		if len(got) == 0 || got[0].session != "s0000" || touches.Stats().Waiting >= 3000 {
			t.Errorf("%d were told early, and %d wait", len(got), touches.Stats().Waiting)
		}
		g.mu.Lock()
		g.block = make(chan struct{})
		g.mu.Unlock()
		for i := range 5000 {
			touches.Touch(sessionOf("", fmt.Sprintf("t%04d", i), ""))
		}
		s := touches.Stats()
		if s.Waiting != 4000 || s.Dropped != uint64(5000+3100-len(got)-4000) {
			t.Errorf("%d wait, %d were dropped", s.Waiting, s.Dropped)
		}
		// One that waits can always be renewed.
		touches.Touch(sessionOf("", "t0000", ""))
		if again := touches.Stats(); again.Dropped != s.Dropped {
			t.Errorf("%d were dropped", again.Dropped-s.Dropped)
		}
		close(g.block)
	})
	t.Run("a tenant that can't be told of leaves room for others", func(t *testing.T) {
		touching(t, func(c *revocationhttp.TouchesConfig) {
			c.MaxSessions, c.Keys["acme"] = 1000, revocationhttp.NewAPIKey("cfw_wrong")
		}, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
			touches.Touch(sessionOf("acme", "first", ""))
			lapse(16 * time.Second)
			for i := range 2000 {
				touches.Touch(sessionOf("acme", fmt.Sprint("s", i), ""))
			}
			if s := touches.Stats(); s.Waiting > 500 {
				t.Errorf("it holds %d places of 1000", s.Waiting)
			}
			touches.Touch(sessionOf("", "ours", ""))
			lapse(16 * time.Second)
			if got := g.take(); len(got) != 1 || got[0].session != "ours" {
				t.Errorf("told %v", got)
			}
		})
	})
}

// A tenant that has taken most of the room before it couldn't be told of any more doesn't have others told of touch by touch.
func TestTouchesGatherWhereItIsCrowded(t *testing.T) {
	touching(t, func(c *revocationhttp.TouchesConfig) {
		c.MaxSessions, c.Keys["acme"] = 1000, revocationhttp.NewAPIKey("cfw_wrong")
	}, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
		for i := range 800 {
			touches.Touch(sessionOf("acme", fmt.Sprint("s", i), ""))
		}
		lapse(time.Second)
		if s := touches.Stats(); s.Waiting != 800 || s.Failures == 0 {
			t.Fatalf("%+v", s)
		}
		for i := range 10 {
			touches.Touch(sessionOf("", fmt.Sprint("t", i), ""))
			lapse(time.Second)
		}
		if got := g.take(); len(got) > 0 {
			t.Errorf("told of %d early", len(got))
		}
		lapse(6 * time.Second)
		if got := g.take(); len(got) != 10 {
			t.Errorf("told of %d", len(got))
		}
	})
}

// What isn't an id would have the whole batch rejected.
func TestTouchesRefuseWhatIsNoID(t *testing.T) {
	touching(t, nil, func(t *testing.T, touches *revocationhttp.Touches, g *registry, f *failures) {
		for _, sid := range []string{"", "a\x00", "\xff", strings.Repeat("x", 257)} {
			touches.Touch(sessionOf("", sid, "ann"))
		}
		touches.Touch(sessionOf("", "s1", "ann"))
		lapse(16 * time.Second)
		got := g.take()
		if s := touches.Stats(); len(got) != 1 || got[0].session != "s1" || s.Dropped != 4 {
			t.Errorf("told %v, %+v", got, s)
		}
	})
}

// The registry's answers are counted.
func TestTouchesCountResults(t *testing.T) {
	touching(t, nil, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
		g.says = map[string]string{"over": "ended", "foreign": "unknown", "later": "a word of a later version"}
		for _, sid := range []string{"alive", "over", "foreign", "later"} {
			touches.Touch(sessionOf("", sid, ""))
		}
		lapse(16 * time.Second)
		if diff := cmp.Diff(revocationhttp.TouchesStats{Gathered: 4, Touched: 1, Ended: 1, Unknown: 1}, touches.Stats()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Close sends what waits, and doesn't wait for ever.
func TestTouchesClose(t *testing.T) {
	t.Run("sends", func(t *testing.T) {
		touching(t, nil, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
			began := time.Now()
			touches.Touch(sessionOf("", "s1", ""))
			touches.Touch(sessionOf("acme", "s2", ""))
			var closing sync.WaitGroup
			for range 3 {
				closing.Go(func() {
					if err := touches.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			closing.Wait()
			if got := g.take(); len(got) != 2 || time.Since(began) > time.Second {
				t.Errorf("told %v after %v", got, time.Since(began))
			}
			touches.Touch(sessionOf("", "late", ""))
			if s := touches.Stats(); s.Dropped != 1 || s.Waiting != 0 {
				t.Errorf("%+v", s)
			}
		})
	})
	t.Run("also what had failed", func(t *testing.T) {
		touching(t, nil, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
			g.answer(503)
			touches.Touch(sessionOf("", "s1", ""))
			lapse(16 * time.Second)
			g.answer(0)
			if err := touches.Close(); err != nil || len(g.take()) != 1 {
				t.Errorf("%v", err)
			}
		})
	})
	t.Run("gives up", func(t *testing.T) {
		touching(t, nil, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
			g.block = make(chan struct{})
			for i := range 10_000 {
				touches.Touch(sessionOf("", fmt.Sprint("s", i), ""))
			}
			// A round hangs already.
			lapse(16 * time.Second)
			began := time.Now()
			err := touches.Close()
			if took := time.Since(began); !errors.Is(err, revocationhttp.ErrTouchesLost) || took > revocationhttp.DefaultTouchTimeout {
				t.Errorf("%v after %v", err, took)
			}
			if s := touches.Stats(); s.Dropped != 10_000 || s.Waiting != 0 {
				t.Errorf("%+v", s)
			}
		})
	})
}

// Idle is fed by people's input and never by what a page does by itself (trap 33).
func TestTrap33TouchesAreOfInputAlone(t *testing.T) {
	tests := []struct {
		name   string
		header []string
		want   bool
	}{
		{"a navigation that a person began", []string{"Sec-Fetch-User", "?1", "Sec-Fetch-Mode", "navigate"}, true},
		{"a page that is fetched ahead", []string{"Sec-Fetch-User", "?1", "Sec-Purpose", "prefetch;prerender"}, false},
		{"one that a script began", []string{"Sec-Fetch-Mode", "navigate"}, false},
		{"a fetch", []string{"Sec-Fetch-Mode", "cors"}, false},
		{"a fetch after input", []string{"Sec-Fetch-Mode", "cors", "Curfew-Input", "1"}, true},
		{"a fetch without", []string{"Curfew-Input", "0"}, false},
		{"nothing is told", nil, false},
		{"a boolean that isn't one", []string{"Sec-Fetch-User", "1"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			touching(t, nil, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
				guard := newRig(t, revocationhttp.Config{}).guard
				r := request("s1 ann")
				for i := 0; i < len(tt.header); i += 2 {
					r.Header.Set(tt.header[i], tt.header[i+1])
				}
				if w := do(guard.Handler(touches.Handler(ok)), r); w.Code != 200 || w.Body.String() != `session "s1" true` {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				lapse(16 * time.Second)
				if got := g.take(); (len(got) == 1 && got[0].session == "s1") != tt.want || len(got) > 1 {
					t.Errorf("told %v, want %t", got, tt.want)
				}
			})
		})
	}
}

// Requests that were refused touch nothing, and neither do those without a session; a service may have a test of its own.
func TestTouchesHandler(t *testing.T) {
	every := func(c *revocationhttp.TouchesConfig) { c.Input = func(*http.Request) bool { return true } }
	touching(t, every, func(t *testing.T, touches *revocationhttp.Touches, g *registry, _ *failures) {
		rig := newRig(t, revocationhttp.Config{AllowAnonymous: true})
		rig.publish(t, sessionRevoked(t, "over", events.ReasonUserLogout))
		h := rig.guard.Handler(touches.Handler(ok))
		codes := []int{}
		for _, sid := range []string{"over u1", "", "bad", "s1 u1"} {
			codes = append(codes, do(h, request(sid)).Code)
		}
		// Outside of a middleware there is no session.
		codes = append(codes, do(touches.Handler(ok), request("s2 u1")).Code)
		lapse(16 * time.Second)
		got := g.take()
		if diff := cmp.Diff([]int{401, 200, 401, 200, 200}, codes); diff != "" || len(got) != 1 || got[0].session != "s1" {
			t.Errorf("told %v; codes (-want +got):\n%s", got, diff)
		}
	})
}

// Many goroutines touch while batches fail and come back: nothing is lost, and the last time of each session arrives.
func TestTouchesConcurrently(t *testing.T) {
	g := &registry{t: t}
	srv := httptest.NewServer(g)
	defer srv.Close()
	touches, err := revocationhttp.NewTouches(revocationhttp.TouchesConfig{
		URL: srv.URL, Interval: time.Millisecond, Keys: map[string]revocationhttp.APIKey{"default": revocationhttp.NewAPIKey(keyText)},
	})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for c := range 8 {
		all.Go(func() {
			for i := range 2000 {
				touches.Touch(sessionOf("", fmt.Sprint("s", i%300), "ann"))
				if c == 0 && i%500 == 0 {
					g.answer(503 * (i / 500 % 2))
				}
			}
		})
	}
	all.Wait()
	g.answer(0)
	last := time.Now().Truncate(time.Millisecond)
	for i := range 300 {
		touches.Touch(sessionOf("", fmt.Sprint("s", i), "ann"))
	}
	if err := touches.Close(); err != nil {
		t.Fatal(err)
	}
	latest := map[string]time.Time{}
	for _, got := range g.take() {
		if got.at.After(latest[got.session]) {
			latest[got.session] = got.at
		}
	}
	for i := range 300 {
		if sid := fmt.Sprint("s", i); latest[sid].Before(last) {
			t.Errorf("%s was last touched at %v, and told of at %v", sid, last, latest[sid])
		}
	}
	if s := touches.Stats(); s.Waiting != 0 || s.Dropped != 0 || s.Gathered != 16_300 {
		t.Errorf("%+v", s)
	}
}
