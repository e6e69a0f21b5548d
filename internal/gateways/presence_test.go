package gateways

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

const delay = 10 * time.Second

// telling is a presence that runs in a bubble, and what it has told.
type telling struct {
	*presence
	began time.Time
	stop  func()

	mu sync.Mutex
	// told are the changes, and batches how many came at once.
	told    []told
	batches []int
	// fails decides whether telling fails; nil means never.
	fails func() bool
}

// told is a change and when it was told, both as time passed since the beginning.
type told struct {
	At, Since time.Duration
	User      string
	Online    bool
}

func startTelling(t *testing.T, fails func() bool) *telling {
	t.Helper()
	r := &telling{presence: newPresence(delay), began: time.Now(), fails: fails}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.run(ctx, r.tell) }()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(r.stop)
	return r
}

func (r *telling) tell(list []Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails != nil && r.fails() {
		return errors.New("no connection")
	}
	r.batches = append(r.batches, len(list))
	for _, c := range list {
		r.told = append(r.told, told{At: time.Since(r.began), Since: c.Since.Sub(r.began), User: c.User, Online: c.Online})
	}
	return nil
}

// after lets time pass until all have done what they do by then.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestPresence(t *testing.T) {
	const s = time.Second
	ada := account{"acme", "ada"}
	for _, tt := range []struct {
		name string
		// steps are +1 and -1 at seconds, in their order.
		steps [][2]int
		want  []told
	}{
		{"comes and stays", [][2]int{{1, 1}}, []told{{11 * s, 1 * s, "ada", true}}},
		{"comes for a moment", [][2]int{{1, 1}, {9, -1}}, nil},
		{"comes and goes", [][2]int{{1, 1}, {20, -1}}, []told{{11 * s, 1 * s, "ada", true}, {30 * s, 20 * s, "ada", false}}},
		{"reloads", [][2]int{{1, 1}, {20, -1}, {21, 1}}, []told{{11 * s, 1 * s, "ada", true}}},
		{"reloads while it isn't told yet", [][2]int{{1, 1}, {5, -1}, {6, 1}}, []told{{16 * s, 6 * s, "ada", true}}},
		{"reloads again and again", [][2]int{{1, 1}, {20, -1}, {25, 1}, {28, -1}, {36, 1}, {37, -1}}, []told{{11 * s, 1 * s, "ada", true}, {47 * s, 37 * s, "ada", false}}},
		{"a second tab", [][2]int{{1, 1}, {2, 1}, {20, -1}, {30, 1}, {31, -1}, {40, -1}}, []told{{11 * s, 1 * s, "ada", true}, {50 * s, 40 * s, "ada", false}}},
		{"goes without having come", [][2]int{{1, -1}, {2, 1}, {3, -1}, {4, -1}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := startTelling(t, nil)
				left := 0
				for _, step := range tt.steps {
					after(time.Until(r.began.Add(time.Duration(step[0]) * s)))
					if left = max(left+step[1], 0); step[1] > 0 {
						r.up(ada)
					} else {
						r.down(ada)
					}
				}
				after(time.Minute)
				if diff := gocmp.Diff(tt.want, r.told); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
				if got := r.count(); got != min(left, 1) {
					t.Errorf("%d users are kept, and %d conns are there", got, left)
				}
			})
		})
	}
}

// A storm is told in few messages, each at its time.
func TestPresenceTellsManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startTelling(t, nil)
		for i := range 1_000 {
			r.up(account{"acme", fmt.Sprint(i)})
		}
		after(delay)
		if want := []int{maxChanges, maxChanges, maxChanges, 1_000 - 3*maxChanges}; !slices.Equal(r.batches, want) {
			t.Errorf("told in batches of %v, want %v", r.batches, want)
		}
	})
}

// A gateway that ends tells nothing more: that it is no member any more says it all.
func TestPresenceTellsNothingAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startTelling(t, nil)
		r.up(account{"acme", "ada"})
		after(delay)
		r.down(account{"acme", "ada"})
		r.up(account{"acme", "bob"})
		after(delay / 2)
		r.stop()
		after(time.Minute)
		r.up(account{"acme", "cyd"}) // and doesn't block
		if len(r.told) != 1 {
			t.Errorf("told %v", r.told)
		}
	})
}

// What couldn't be told is told once there is a connection again, unless it isn't so any more.
func TestPresenceWithoutAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := false
		r := startTelling(t, func() bool { return away })
		set := func(v bool) { r.mu.Lock(); defer r.mu.Unlock(); away = v }
		ada, bob, cyd := account{"acme", "ada"}, account{"acme", "bob"}, account{"acme", "cyd"}
		r.up(ada)
		after(delay)
		set(true)
		r.down(ada)
		r.up(bob)
		r.up(cyd)
		after(time.Minute)
		r.up(ada) // is there as if nothing had been
		r.down(cyd)
		set(false)
		after(2 * untold)
		want := []told{{delay, 0, "ada", true}}
		if diff := gocmp.Diff(want, r.told[:1]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(r.told) != 2 || r.told[1].User != "bob" || r.told[1].Since != delay || !r.told[1].Online {
			t.Errorf("told %v, want of bob alone after ada", r.told)
		}
		if r.count() != 2 {
			t.Errorf("%d users are kept, want ada and bob", r.count())
		}
	})
}

// A user that changes while it is being told, which then works or fails.
func TestPresenceThatChangesWhileItIsTold(t *testing.T) {
	ada := account{"acme", "ada"}
	for _, tt := range []struct {
		name string
		// online is what is being told, after the contrary was.
		online, ok   bool
		flips, kept  int
		told, listed bool
	}{
		{"there, told", true, true, 0, 1, true, false},
		{"there, not told", true, false, 0, 1, false, true},
		{"there and gone, told", true, true, 1, 1, true, true},
		{"there and gone, not told", true, false, 1, 0, false, false},
		{"there and gone and back, told", true, true, 2, 1, true, false},
		{"there and gone and back, not told", true, false, 2, 1, false, true},
		{"gone, told", false, true, 0, 0, false, false},
		{"gone, not told", false, false, 0, 1, true, true},
		{"gone and back, told", false, true, 1, 1, false, true},
		{"gone and back, not told", false, false, 1, 1, true, false},
		{"gone and back for a moment, told", false, true, 2, 0, false, false},
		{"gone and back for a moment, not told", false, false, 2, 1, true, true},
	} {
		p := newPresence(delay)
		later := time.Now().Add(time.Hour)
		flip := func(up bool) {
			if up {
				p.up(ada)
			} else {
				p.down(ada)
			}
		}
		flip(true)
		due, list, wait := p.due(later)
		if !tt.online {
			p.settled(due, true)
			flip(false)
			due, list, wait = p.due(later)
		}
		if len(due) != 1 || len(list) != 1 || list[0].Online != tt.online || wait != -1 {
			t.Fatalf("%s: due are %v, then nothing for %v", tt.name, list, wait)
		}
		for i := range tt.flips {
			flip(tt.online == (i%2 != 0))
		}
		p.settled(due, tt.ok)
		if got := p.count(); got != tt.kept {
			t.Errorf("%s: %d kept, want %d", tt.name, got, tt.kept)
		}
		u := p.users[ada]
		if u != nil && (u.told != tt.told || u.listed != tt.listed || u.telling) {
			t.Errorf("%s: told %v, listed %v, telling %v", tt.name, u.told, u.listed, u.telling)
		}
		if listed := p.first != nil; listed != tt.listed || p.first != p.last || listed && p.first != u {
			t.Errorf("%s: the list is from %v to %v", tt.name, p.first, p.last)
		}
	}
}

// What couldn't be told stays in its order, before what came later.
func TestPresenceKeepsOrder(t *testing.T) {
	p := newPresence(delay)
	var want []string
	add := func(n int) {
		for range n {
			name := fmt.Sprint(len(want))
			want = append(want, name)
			p.up(account{"acme", name})
		}
	}
	later := time.Now().Add(time.Hour)
	add(5)
	due, _, _ := p.due(later)
	add(5)
	p.settled(due, false)
	_, list, _ := p.due(later)
	var got []string
	for _, c := range list {
		got = append(got, c.User)
	}
	if !slices.Equal(got, want) {
		t.Errorf("due are %v, want %v", got, want)
	}
}

// One conn that comes and goes, among 19,000 users that are there.
func BenchmarkUpDown(b *testing.B) {
	accounts := make([]account, 1<<15)
	for i := range accounts {
		accounts[i] = account{"default", fmt.Sprintf("user-%08d", i)}
	}
	crowd := func() *presence {
		p := newPresence(delay)
		for _, a := range accounts[:19_000] {
			p.up(a)
		}
		due, _, _ := p.due(time.Now().Add(2 * delay))
		for ; len(due) > 0; due, _, _ = p.due(time.Now().Add(2 * delay)) {
			p.settled(due, true)
		}
		return p
	}
	b.Run("another tab", func(b *testing.B) {
		p := crowd()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			a := accounts[i%19_000]
			p.up(a)
			p.down(a)
		}
	})
	b.Run("a new user for a moment", func(b *testing.B) {
		p := crowd()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			a := accounts[19_000+i%10_000]
			p.up(a)
			p.down(a)
		}
	})
	b.Run("a reload", func(b *testing.B) {
		p := crowd()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			a := accounts[i%19_000]
			p.down(a)
			p.up(a)
		}
	})
	b.Run("parallel reloads", func(b *testing.B) {
		p := crowd()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				a := accounts[i*7919%19_000]
				p.down(a)
				p.up(a)
			}
		})
	})
}
