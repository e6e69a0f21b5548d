package revocationhttp_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// sameEpisodes compares episodes, causes as errors.
func sameEpisodes(want, got []revocationhttp.Episode) string {
	return cmp.Diff(want, got, cmpopts.EquateErrors(), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }))
}

// An episode is told when it begins and when it is over, whatever happens between, and its end says how many requests it had.
func TestEpisode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{Policy: revocationhttp.Policy{DangerouslyFailOpen: true}})
		h := g.guard.Handler(ok)
		synctest.Wait()
		do(h, request("s1 u1"))
		g.feed.Stall()
		time.Sleep(16 * time.Second)
		if told := g.told.takeEpisodes(); len(told) > 0 {
			t.Fatalf("told without a pass: %+v", told)
		}
		began := time.Now()
		begin := revocationhttp.Episode{FailOpen: true, Cause: revocation.ErrStale, Began: began, Last: began, Requests: 1}
		for range 50 {
			do(h, request("s1 u1"))
		}
		// A minute without a request: as long as the replica can't tell, it is the same episode.
		time.Sleep(time.Minute)
		last := time.Now()
		do(h, request("s2 u1"))
		time.Sleep(20 * time.Second)
		if diff := sameEpisodes([]revocationhttp.Episode{begin}, g.told.takeEpisodes()); diff != "" {
			t.Errorf("while stale (-want +got):\n%s", diff)
		}
		g.feed.Resume()
		time.Sleep(2 * time.Second)
		over := revocationhttp.Episode{FailOpen: true, Over: true, Cause: revocation.ErrStale, Began: began, Last: last, Requests: 51}
		if diff := sameEpisodes([]revocationhttp.Episode{over}, g.told.takeEpisodes()); diff != "" {
			t.Errorf("fresh again (-want +got):\n%s", diff)
		}
		do(h, request("s1 u1"))
		time.Sleep(time.Minute)
		if told := g.told.takeEpisodes(); len(told) > 0 {
			t.Errorf("told while fresh: %+v", told)
		}
	})
}

// A replica that comes and goes, within seconds, makes one episode.
func TestEpisodeOfAFlutter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{Policy: revocationhttp.Policy{DangerouslyFailOpen: true}})
		payments := g.guard.RequireFresh(2 * time.Second)(ok)
		synctest.Wait()
		for range 10 {
			g.feed.Stall()
			time.Sleep(4 * time.Second)
			do(payments, request("s1 u1"))
			g.feed.Resume()
			time.Sleep(2 * time.Second)
			do(payments, request("s1 u1"))
		}
		time.Sleep(time.Minute)
		told := g.told.takeEpisodes()
		if len(told) != 2 || told[0].Over || !told[1].Over || told[1].Requests != 10 {
			t.Errorf("told %+v, want one episode of ten", told)
		}
	})
}

// Whoever sends positions that nothing has reached can't fill a log: its requests, failing open or asking, make an episode in ten seconds at most.
func TestEpisodesOfFarPositions(t *testing.T) {
	for name, policy := range map[string]func(gate *revocationhttp.Gate) revocationhttp.Policy{
		"open": func(*revocationhttp.Gate) revocationhttp.Policy {
			return revocationhttp.Policy{DangerouslyFailOpen: true}
		},
		"ask": func(gate *revocationhttp.Gate) revocationhttp.Policy { return revocationhttp.Policy{Ask: gate} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, transport := serveOver(t, says(active(1<<60, 0)))
				g := newRig(t, revocationhttp.Config{PositionTimeout: -1, Policy: policy(newGate(t, transport, nil))})
				h := g.guard.Handler(ok)
				for range 600 {
					do(h, withPosition(request("s1 u1"), 1<<60))
					do(h, request("s1 u1"))
					time.Sleep(100 * time.Millisecond)
				}
				if told := g.told.takeEpisodes(); len(told) != 1 || !errors.Is(told[0].Cause, revocation.ErrBehind) {
					t.Errorf("told %+v, want the beginning of one episode", told)
				}
				time.Sleep(10 * time.Second)
				if told := g.told.takeEpisodes(); len(told) != 1 || !told[0].Over || told[0].Requests != 600 {
					t.Errorf("told %+v, want its end", told)
				}
			})
		})
	}
}

// When Close has returned, nothing is told any more, also not by a hook that was under way.
func TestCloseWaitsForTheEpisodesHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		feed.AutoBeat(time.Second)
		replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed})
		if err != nil {
			t.Fatal(err)
		}
		defer replica.Close()
		release := make(chan struct{})
		var telling, told atomic.Bool
		guard, err := revocationhttp.New(revocationhttp.Config{
			Replica: replica, Session: fromHeaders, PositionTimeout: -1, Policy: revocationhttp.Policy{DangerouslyFailOpen: true},
			OnEpisode: func(e revocationhttp.Episode) {
				if e.Over {
					telling.Store(true)
					<-release
					told.Store(true)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		do(guard.Handler(ok), withPosition(request("s1 u1"), 1<<60))
		time.Sleep(11 * time.Second)
		closed := make(chan struct{})
		go func() { defer close(closed); _ = guard.Close() }()
		synctest.Wait()
		select {
		case <-closed:
			t.Errorf("closed while the hook runs: telling %t, told %t", telling.Load(), told.Load())
		default:
		}
		close(release)
		<-closed
		if !telling.Load() || !told.Load() {
			t.Errorf("telling %t, told %t: this test shows nothing", telling.Load(), told.Load())
		}
	})
}

// Asking and failing open are told apart: when the gate goes as well, that is news.
func TestEpisodesOfBothKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := &gateSays{}
		answer.answer.Store(active(1, 0))
		_, transport := serveOver(t, answer)
		g := newRig(t, revocationhttp.Config{Policy: revocationhttp.Policy{Ask: newGate(t, transport, nil), DangerouslyFailOpen: true}})
		h := g.guard.Handler(ok)
		synctest.Wait()
		g.feed.Stall()
		time.Sleep(16 * time.Second)
		kinds := func() (kinds []string) {
			for _, e := range g.told.takeEpisodes() {
				kinds = append(kinds, fmt.Sprint(map[bool]string{false: "ask", true: "open"}[e.FailOpen], " ", e.Over, " ", e.Requests))
			}
			return kinds
		}
		do(h, request("s1 u1"))
		do(h, request("s1 u1"))
		if diff := cmp.Diff([]string{"ask false 1"}, kinds()); diff != "" {
			t.Errorf("the gate answers (-want +got):\n%s", diff)
		}
		answer.answer.Store("garbage")
		do(h, request("s1 u1"))
		if diff := cmp.Diff([]string{"open false 1"}, kinds()); diff != "" {
			t.Errorf("the gate is gone too (-want +got):\n%s", diff)
		}
		if err := g.guard.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"ask true 2", "open true 1"}, kinds()); diff != "" {
			t.Errorf("the end of the middleware (-want +got):\n%s", diff)
		}
		do(h, request("s1 u1"))
		time.Sleep(time.Minute)
		if more := kinds(); len(more) > 0 {
			t.Errorf("told after Close: %v", more)
		}
	})
}

// However many requests begin it at once, an episode begins once, and none is lost.
func TestEpisodeConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{Policy: revocationhttp.Policy{DangerouslyFailOpen: true}})
		h := g.guard.Handler(ok)
		synctest.Wait()
		g.feed.Stall()
		time.Sleep(16 * time.Second)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for range 50 {
					do(h, request("s1 u1"))
					time.Sleep(time.Second)
				}
			})
		}
		all.Wait()
		for range 3 {
			all.Go(func() { _ = g.guard.Close() })
		}
		all.Wait()
		told := g.told.takeEpisodes()
		if len(told) != 2 || told[0].Over || !told[1].Over || told[1].Requests != 1000 {
			t.Errorf("told %+v, want one episode of 1000", told)
		}
	})
}
