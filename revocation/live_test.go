package revocation

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
)

// everything an event may end, by the model: each that it ends with the earliest auth time and, where it spares some, with another name.
func mayEnd(e events.Event, s Session) bool {
	s.AuthTime = time.Unix(0, 0)
	byName, byCutoff := ends(e, s)
	return byName || byCutoff
}

func TestAffectedIsWhatTheModelSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var live Live[int]
		entries := map[int]*LiveEntry[int]{}
		for i, s := range genSessions.Draw(t, "sessions") {
			entries[i] = live.Add(s, i)
		}
		for i, e := range entries {
			if rapid.IntRange(0, 3).Draw(t, "removed") == 0 {
				live.Remove(e)
				live.Remove(e)
				delete(entries, i)
			}
		}
		if got := live.Len(); got != len(entries) || len(live.All()) != got {
			t.Fatalf("Len %d, All %d, want %d", got, len(live.All()), len(entries))
		}
		for _, e := range genEvents.Draw(t, "events") {
			found := live.Affected(e)
			seen := map[int]bool{}
			for _, entry := range found {
				if seen[entry.Value] || entries[entry.Value] != entry {
					t.Fatalf("%+v: entry %d comes twice or isn't there", e, entry.Value)
				}
				seen[entry.Value] = true
				// More than may end is allowed only for who is spared by name.
				u, user := e.(*events.UserLoggedOutEverywhere)
				if !mayEnd(e, entry.Session) && (!user || u.User != entry.Session.User) {
					t.Fatalf("%+v can't end %+v", e, entry.Session)
				}
			}
			for i, entry := range entries {
				if mayEnd(e, entry.Session) && !seen[i] {
					t.Fatalf("%+v may end %+v, which is missing", e, entry.Session)
				}
			}
		}
	})
}

// An event may name a session twice; its entries are affected once.
func TestAffectedNamesEachOnce(t *testing.T) {
	var live Live[string]
	live.Add(Session{ID: "s"}, "without a user")
	live.Add(Session{ID: "s", User: "ada"}, "with a user")
	e := everywhere(1, epoch)
	e.KnownSessions = []string{"s", "t", "s"}
	if got := len(live.Affected(e)); got != 2 {
		t.Errorf("%d entries, want 2", got)
	}
}

func TestLiveUser(t *testing.T) {
	var live Live[int]
	live.Add(Session{ID: "1", User: "ada"}, 1)
	live.Add(Session{Tenant: events.DefaultTenant, ID: "2", User: "ada"}, 2)
	live.Add(Session{Tenant: "other", ID: "3", User: "ada"}, 3)
	live.Add(Session{ID: "4"}, 4)
	for tenant, want := range map[string]int{"": 2, events.DefaultTenant: 2, "other": 1, "none": 0} {
		if got := len(live.User(tenant, "ada")); got != want {
			t.Errorf("%d entries in tenant %q, want %d", got, tenant, want)
		}
	}
}

func TestLiveLeavesNothingBehind(t *testing.T) {
	var live Live[int]
	var entries []*LiveEntry[int]
	for i := range 100 {
		entries = append(entries, live.Add(Session{ID: fmt.Sprint(i), User: fmt.Sprint(i % 7)}, i))
	}
	for _, e := range entries {
		live.Remove(e)
	}
	left := 0
	for i := range live.shards {
		left += len(live.shards[i].lists) + len(live.shards[i].tenants)
	}
	if left != 0 || live.Len() != 0 {
		t.Errorf("%d lists and %d entries are left", left, live.Len())
	}
}

// Trap 8: add, then check, then serve; and check again what an event affects. However the two interleave, nobody stays who is over.
func TestTrap8AddThenCheckLosesNothing(t *testing.T) {
	r, sink := bare(Config{StalenessBudget: time.Hour})
	var live Live[*sync.Once]
	var mu sync.Mutex
	stopped := map[string]bool{}
	stop := func(e *LiveEntry[*sync.Once]) {
		e.Value.Do(func() {
			mu.Lock()
			defer mu.Unlock()
			stopped[e.Session.ID] = true
		})
	}
	r.OnApplied(func(a Applied) {
		for _, e := range live.Affected(a.Event) {
			if r.Check(e.Session).State == Revoked {
				stop(e)
			}
		}
	})
	const n = 3000
	start := make(chan int)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range start {
			sink.Event(Place{Position: uint64(i + 1)}, sessionOut(i, fmt.Sprint(i), time.Now()))
		}
	})
	for i := range n {
		s := Session{ID: fmt.Sprint(i), User: "ada", AuthTime: epoch}
		start <- i // from here on, the event and the session race
		if i%3 == 0 {
			runtime.Gosched()
		}
		e := live.Add(s, &sync.Once{})
		if r.Check(s).State == Revoked {
			stop(e)
		}
	}
	close(start)
	wg.Wait()
	var missed []int
	for i := range n {
		if !stopped[fmt.Sprint(i)] {
			missed = append(missed, i)
		}
	}
	if len(missed) > 0 {
		t.Errorf("%d of %d revoked sessions go on, such as %d", len(missed), n, missed[0])
	}
}

func TestLiveIsSafeForConcurrentUse(t *testing.T) {
	var live Live[int]
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 300 {
				s := Session{ID: fmt.Sprint(i), User: fmt.Sprint(i % 5), Device: "d"}
				e := live.Add(s, g)
				if !slices.Contains(live.Affected(sessionOut(i, s.ID, epoch)), e) {
					t.Errorf("session %d isn't found while it is there", i)
				}
				live.Affected(tenantOut(events.DefaultTenant, epoch))
				live.User("", s.User)
				live.Len()
				live.Remove(e)
			}
		})
	}
	wg.Wait()
	if got := live.Len(); got != 0 {
		t.Errorf("%d entries are left", got)
	}
}
