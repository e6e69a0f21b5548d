package gateways

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// visit is a conn that comes or goes.
type visit struct {
	after time.Duration
	user  int
	up    bool
}

// visits happen at even milliseconds, so that nothing is due just when something happens: the delay of the model is odd.
func visits() *rapid.Generator[[]visit] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) visit {
		gap := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 8_000)).Draw(t, "gap")
		return visit{after: 2 * time.Duration(gap) * time.Millisecond, user: rapid.IntRange(0, 4).Draw(t, "user"), up: rapid.Bool().Draw(t, "up")}
	}), 0, 60)
}

// naive looks at one user after the other: a state that differs from what was told, and lasts for longer than the delay, is told then.
func naive(list []visit, delay time.Duration) (want []told, online map[string]bool) {
	online = map[string]bool{}
	for user := range 5 {
		name := fmt.Sprint(user)
		type state struct {
			since time.Duration
			on    bool
		}
		var states []state
		now, tabs := time.Duration(0), 0
		for _, v := range list {
			now += v.after
			if v.user != user {
				continue
			}
			was := tabs > 0
			if v.up {
				tabs++
			} else {
				tabs = max(tabs-1, 0)
			}
			if on := tabs > 0; on != was {
				states = append(states, state{now, on})
			}
		}
		known := false
		for i, s := range states {
			if s.on == known || i+1 < len(states) && states[i+1].since-s.since < delay {
				continue
			}
			known = s.on
			want = append(want, told{At: s.since + delay, Since: s.since, User: name, Online: s.on})
		}
		if tabs > 0 {
			online[name] = true
		}
	}
	return want, online
}

func sortTold(list []told) {
	slices.SortFunc(list, func(a, b told) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.User, b.User)) })
}

func (r *telling) play(list []visit) {
	for _, v := range list {
		if v.after > 0 {
			after(v.after)
		}
		a := account{"acme", fmt.Sprint(v.user)}
		if v.up {
			r.up(a)
		} else {
			r.down(a)
		}
	}
}

func TestPresenceIsThatOfANaiveModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		list := visits().Draw(rt, "visits")
		odd := delay + time.Millisecond
		want, online := naive(list, odd)
		sortTold(want)
		var got []told
		kept := 0
		synctest.Test(t, func(t *testing.T) {
			r := startTelling(t, nil)
			r.mu.Lock()
			r.delay = odd
			r.mu.Unlock()
			r.play(list)
			after(3 * delay)
			got, kept = r.told, r.count()
		})
		sortTold(got)
		if diff := gocmp.Diff(want, got); diff != "" {
			rt.Fatalf("told (-want +got):\n%s", diff)
		}
		if kept != len(online) {
			rt.Fatalf("%d users are kept, and %d are there", kept, len(online))
		}
	})
}

// Whenever the connection fails, followers that miss nothing know who is there in the end, and hear nothing twice.
func TestPresenceOverAConnectionThatFails(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		list := visits().Draw(rt, "visits")
		fates := rapid.SliceOfN(rapid.Bool(), 0, 40).Draw(rt, "fates")
		_, online := naive(list, delay)
		known := map[string]bool{}
		var got []told
		kept := 0
		synctest.Test(t, func(t *testing.T) {
			r := startTelling(t, func() bool {
				if len(fates) == 0 {
					return false
				}
				fails := fates[0]
				fates = fates[1:]
				return fails
			})
			r.play(list)
			after(5 * time.Minute)
			got, kept = r.told, r.count()
		})
		for _, c := range got {
			if known[c.User] == c.Online {
				rt.Fatalf("told twice: %v", got)
			}
			if known[c.User] = c.Online; !c.Online {
				delete(known, c.User)
			}
		}
		if diff := gocmp.Diff(online, known); diff != "" {
			rt.Fatalf("known (-want +got):\n%s", diff)
		}
		if kept != len(online) {
			rt.Fatalf("%d users are kept, and %d are there", kept, len(online))
		}
	})
}
