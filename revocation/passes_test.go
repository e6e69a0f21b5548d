package revocation_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/exposure"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

func openPasses(t testing.TB, cfg revocation.PassesConfig) (*revocation.Passes, *revocation.Replica, *revocationtest.Feed) {
	t.Helper()
	feed := revocationtest.New()
	feed.Beat()
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	passes, err := revocation.NewPasses(replica, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(passes.Close)
	return passes, replica, feed
}

var active = revocation.Decision{State: revocation.Active}

func about(sids ...string) exposure.Question {
	return exposure.Question{Position: 1 << 40, Event: "e", Sessions: sids, UntilMS: math.MaxInt64}
}

// TestPassesTell: which session, where and when, and that it was by choice; of the tenant and session that is asked for, and no other.
func TestPassesTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		passes, _, _ := openPasses(t, revocation.PassesConfig{})
		began := time.Now().UnixMilli()
		passes.Record(session(1), "GET /a", active)
		pass(5 * time.Millisecond)
		passes.Record(session(2), "GET /b", revocation.Decision{})
		other := session(1)
		other.Tenant = "globex"
		passes.Record(other, "GET /c", active)
		passes.Record(revocation.Session{User: "ada"}, "GET /d", active)
		pass(5 * time.Millisecond)
		passes.Record(session(1), "", active)
		want := exposure.Answer{
			NowMS: began + 10, BeganMS: began, WholeSinceMS: began, Count: 3,
			Passes: []exposure.Pass{{AtMS: began, Session: 1, Route: "GET /a"}, {AtMS: began + 5, Route: "GET /b", Undetermined: true}, {AtMS: began + 10, Session: 1}},
		}
		if diff := cmp.Diff(want, passes.Answer("", about("2", "1"))); diff != "" {
			t.Error(diff)
		}
		q := about("1")
		q.SinceMS, q.UntilMS = began+1, began+9
		if got := passes.Answer(events.DefaultTenant, q); got.Count != 0 {
			t.Errorf("outside of the span: %+v", got)
		}
		if got := passes.Answer("globex", about("1")); got.Count != 1 || got.Passes[0].Route != "GET /c" {
			t.Errorf("another tenant's: %+v", got)
		}
		if got := passes.Answer("", exposure.Question{Sessions: []string{"1"}}); got.NowMS != 0 {
			t.Errorf("a question that isn't in form: %+v", got)
		}
	})
}

// TestPassesTellWhenApplied: of what was applied since they began; before, that it was.
func TestPassesTellWhenApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		early, recent := logout(1), logout(2)
		feed.Publish(early)
		feed.Beat()
		replica := open(t, feed, revocation.Config{})
		passes, err := revocation.NewPasses(replica, revocation.PassesConfig{Events: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer passes.Close()
		pass(time.Second)
		at := time.Now().UnixMilli()
		feed.Publish(recent)
		synctest.Wait()
		ask := func(position uint64, id string) (bool, int64) {
			a := passes.Answer("", exposure.Question{Position: position, Event: id, UntilMS: 1})
			return a.Applied, a.AppliedMS
		}
		for _, test := range []struct {
			position uint64
			id       string
			applied  bool
			at       int64
		}{
			{1, early.Meta().ID, true, 0}, {feed.Last(), recent.Meta().ID, true, at}, {feed.Last(), early.Meta().ID, true, 0}, {feed.Last() + 1, "x", false, 0},
		} {
			if applied, at := ask(test.position, test.id); applied != test.applied || at != test.at {
				t.Errorf("%+v: got %v at %d", test, applied, at)
			}
		}
	})
}

// TestPassesKeepWhatTheRingsForget: a moment after an event what its session got through is out of the rings, and newer passes of others don't take it away. Of a session that it doesn't name they do.
func TestPassesKeepWhatTheRingsForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		passes, _, feed := openPasses(t, revocation.PassesConfig{Entries: 64 * 16})
		e := &events.UserLoggedOutEverywhere{Common: common(7, time.Now()), User: "ada", Cutoff: time.Now(), KnownSessions: []string{"1", "3"}}
		for range 3 {
			passes.Record(session(1), "GET /a", active)
			passes.Record(session(2), "GET /a", active)
			pass(time.Millisecond)
		}
		feed.Publish(e)
		synctest.Wait()
		pass(time.Second) // long enough for it
		for i := range 64 * 16 * 10 {
			passes.Record(session(100+i), "GET /b", active)
		}
		pass(time.Second)
		q := exposure.Question{Position: feed.Last(), Event: e.ID, Sessions: []string{"1", "3"}, SinceMS: e.Time.UnixMilli(), UntilMS: math.MaxInt64}
		if a := passes.Answer("", q); a.Count != 3 || a.WholeSinceMS > q.SinceMS || a.AppliedMS == 0 {
			t.Errorf("%+v", a)
		}
		q.Sessions = []string{"2"}
		if a := passes.Answer("", q); a.WholeSinceMS <= q.SinceMS {
			t.Errorf("of a session that it doesn't name: %+v", a)
		}
	})
}

// TestPassesOfManyAtOnce: what many record at once is all there, or, where there isn't room for all, what is there was recorded, and what is called whole is.
func TestPassesOfManyAtOnce(t *testing.T) {
	for _, entries := range []int{1, 64, 1000, 1 << 20} {
		t.Run(fmt.Sprint(entries), func(t *testing.T) {
			passes, _, _ := openPasses(t, revocation.PassesConfig{Entries: entries})
			const workers, each, sessions = 8, 2000, 10
			counts := make([]map[string]int, workers) // session and route → how often
			var all sync.WaitGroup
			for w := range workers {
				counts[w] = map[string]int{}
				all.Go(func() {
					for range each {
						sid, route := rand.IntN(sessions), fmt.Sprint("r", rand.IntN(3))
						passes.Record(session(sid), route, active)
						counts[w][fmt.Sprint(sid, route)]++
						if rand.IntN(100) == 0 {
							passes.Answer("", about(fmt.Sprint(sid)))
						}
					}
				})
			}
			all.Wait()
			whole := 0
			for sid := range sessions {
				q := about(fmt.Sprint(sid))
				q.SinceMS = 1
				a := passes.Answer("", q)
				recorded := 0
				for _, route := range []string{"r0", "r1", "r2"} {
					for w := range workers {
						recorded += counts[w][fmt.Sprint(sid, route)]
					}
				}
				switch {
				case a.Count > recorded:
					t.Errorf("session %d: %d are told, and %d were recorded", sid, a.Count, recorded)
				case a.WholeSinceMS == a.BeganMS && a.Count != recorded:
					t.Errorf("session %d: %d are called whole, and %d were recorded", sid, a.Count, recorded)
				case a.WholeSinceMS == a.BeganMS:
					whole++
				}
			}
			if roomy := entries >= 64*workers*each; roomy != (whole == sessions) {
				t.Errorf("%d of %d are whole", whole, sessions)
			}
		})
	}
}

func TestPassesBoundRoutes(t *testing.T) {
	passes, _, _ := openPasses(t, revocation.PassesConfig{Routes: 2})
	for _, route := range []string{"a", strings.Repeat("x", 129), "b\xff", "c", "a", ""} {
		passes.Record(session(1), route, active)
	}
	var got []string
	for _, pass := range passes.Answer("", about("1")).Passes {
		got = append(got, pass.Route)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{exposure.OtherRoutes, exposure.OtherRoutes, exposure.OtherRoutes, "a", "a", "b\uFFFD"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPassesRefuse(t *testing.T) {
	_, replica, _ := openPasses(t, revocation.PassesConfig{})
	for _, cfg := range []revocation.PassesConfig{{Entries: -1}, {Routes: -1}, {Routes: 1 << 16}, {Events: -1}} {
		if p, err := revocation.NewPasses(replica, cfg); err == nil || p != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	if _, err := revocation.NewPasses(nil, revocation.PassesConfig{}); err == nil {
		t.Error("without a replica")
	}
	var none *revocation.Passes
	none.Record(session(1), "", active)
	none.Close()
	if got := none.Answer("", about("1")); got.NowMS != 0 {
		t.Errorf("%+v", got)
	}
}

// Recording allocates nothing, but for the first pass on a route.
func TestPassesAllocateNothing(t *testing.T) {
	passes, _, _ := openPasses(t, revocation.PassesConfig{})
	s := session(1)
	if n := testing.AllocsPerRun(1000, func() { passes.Record(s, "GET /a", active) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPassesRecord(b *testing.B) {
	passes, _, _ := openPasses(b, revocation.PassesConfig{})
	s := session(1)
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			passes.Record(s, "GET /orders/{id}", active)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			own := session(rand.IntN(1000))
			for pb.Next() {
				passes.Record(own, "GET /orders/{id}", active)
			}
		})
	})
	b.Run("parallel, one session", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				passes.Record(s, "GET /orders/{id}", active)
			}
		})
	})
}

// pass lets time pass; in a bubble of synctest that takes none.
func pass(d time.Duration) { <-time.After(d) }
