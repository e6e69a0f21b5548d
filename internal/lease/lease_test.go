package lease

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const ttl = 24 * time.Second

// book is where those who hold the lease sign in and out. It fails the test if two are in.
type book struct {
	t  *testing.T
	mu sync.Mutex
	// in are those who hold it.
	in []string
	// tenures counts how often each has signed in.
	tenures map[string]int
	// last is when somebody has signed in or out.
	last time.Time
}

func newBook(t *testing.T) *book { return &book{t: t, tenures: map[string]int{}} }

func (b *book) sign(name string, in bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = time.Now()
	if in {
		b.in = append(b.in, name)
		b.tenures[name]++
	} else {
		b.in = slices.DeleteFunc(b.in, func(n string) bool { return n == name })
	}
	if len(b.in) > 1 {
		b.t.Errorf("%q hold the lease at once", b.in)
	}
}

func (b *book) holders() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.in)
}

// changed returns when somebody has signed in or out last.
func (b *book) changed() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// while signs in and out.
func (b *book) while(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		b.sign(name, true)
		<-ctx.Done()
		b.sign(name, false)
		return context.Cause(ctx)
	}
}

// process is a contender that can be ended.
type process struct {
	cancel context.CancelFunc
	// ended takes what run has returned.
	ended chan error
}

func start(r register, cfg Config, while func(context.Context) error) *process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{cancel, make(chan error, 1)}
	go func() { p.ended <- newContender(r, cfg).run(ctx, while) }()
	return p
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	p.cancel()
	if err := <-p.ended; err != nil {
		t.Errorf("run = %v", err)
	}
}

// after lets time pass, and whatever it brings about.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func has(t *testing.T, b *book, want ...string) {
	t.Helper()
	if got := b.holders(); !slices.Equal(got, want) {
		t.Errorf("%q hold the lease, want %q", got, want)
	}
}

// Nobody knows whether somebody held a lease of which nothing is there.
func TestFirstHolderWaitsForTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		p := start(newDirect(&memory{}), Config{TTL: ttl}, b.while("a"))
		after(ttl - time.Millisecond)
		has(t, b)
		after(time.Second)
		has(t, b, "a")
		// And keeps it.
		after(10 * ttl)
		has(t, b, "a")
		if b.tenures["a"] != 1 {
			t.Errorf("%d tenures, want 1", b.tenures["a"])
		}
		p.stop(t)
		has(t, b)
	})
}

// Whoever shuts down gives the lease back, and the next has it at once.
func TestReleasedLeaseIsTakenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		m := &memory{}
		first := start(newDirect(m), Config{TTL: ttl}, b.while("a"))
		after(ttl + time.Second)
		second := start(newDirect(m), Config{TTL: ttl}, b.while("b"))
		after(3 * ttl)
		has(t, b, "a")
		first.stop(t)
		after(150 * time.Millisecond)
		has(t, b, "b")
		second.stop(t)
		// One that comes later doesn't wait either.
		third := start(newDirect(m), Config{TTL: ttl}, b.while("c"))
		after(0)
		has(t, b, "c")
		third.stop(t)
	})
}

// A process that dies has its lease taken after the TTL, and not before.
func TestCrashedHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		m := &memory{}
		// What a process has written that then died.
		dead := newContender(newDirect(m), Config{TTL: ttl})
		if _, err := m.write(t.Context(), dead.value(), 0); err != nil {
			t.Fatal(err)
		}
		p := start(newDirect(m), Config{TTL: time.Second}, b.while("a"))
		// It is the dead one's TTL that counts.
		after(ttl - time.Millisecond)
		has(t, b)
		after(time.Second)
		has(t, b, "a")
		p.stop(t)
	})
}

// cut is a register that can be out of reach.
type cut struct {
	direct
	mu sync.Mutex
	// how is why it is; nil while it isn't. hangs makes calls wait for their context's end.
	how   error
	hangs bool
	// lost is true while what is written arrives and no answer comes back.
	lost bool
}

func (c *cut) set(how error, hangs, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.how, c.hangs, c.lost = how, hangs, lost
}

func (c *cut) way(ctx context.Context) (lost bool, err error) {
	c.mu.Lock()
	how, hangs, lost := c.how, c.hangs, c.lost
	c.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return false, ctx.Err()
	}
	return lost, how
}

func (c *cut) read(ctx context.Context) (entry, error) {
	if _, err := c.way(ctx); err != nil {
		return entry{}, err
	}
	return c.direct.read(ctx)
}

func (c *cut) write(ctx context.Context, value []byte, after uint64) (uint64, error) {
	lost, err := c.way(ctx)
	if err != nil {
		return 0, err
	}
	revision, err := c.direct.write(ctx, value, after)
	if lost {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return revision, err
}

var errAway = errors.New("the server is away")

// A holder that can't renew is out before another is in, whether its calls fail or hang.
func TestHolderThatIsCutOff(t *testing.T) {
	for name, hangs := range map[string]bool{"calls fail": false, "calls hang": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBook(t)
				m := &memory{}
				r := &cut{direct: newDirect(m)}
				told := 0
				a := start(r, Config{TTL: ttl, Failed: func(error) { told++ }}, b.while("a"))
				after(ttl + time.Second)
				other := start(newDirect(m), Config{TTL: ttl}, b.while("b"))
				after(ttl)
				has(t, b, "a")
				began := time.Now()
				r.set(errAway, hangs, false)
				// It renewed a third of the TTL ago at the most.
				after(ttl*3/4 - ttl/3 - time.Second)
				has(t, b, "a")
				after(ttl/3 + 2*time.Second)
				has(t, b)
				if lost := b.changed().Sub(began); lost > ttl*3/4 {
					t.Errorf("it held the lease for %v after it was cut off, want %v at most", lost, ttl*3/4)
				}
				after(ttl/2 + time.Second)
				has(t, b, "b")
				r.set(nil, false, false)
				after(3 * ttl)
				has(t, b, "b")
				if told != 1 {
					t.Errorf("Failed was called %d times in one episode, want once", told)
				}
				other.stop(t)
				after(time.Second)
				has(t, b, "a")
				a.stop(t)
			})
		})
	}
}

// A short absence costs nothing, nor does an acknowledgement that is lost: the entry is still the holder's.
func TestHolderThatIsCutOffForAMoment(t *testing.T) {
	for name, lost := range map[string]bool{"away": false, "acknowledgements are lost": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBook(t)
				r := &cut{direct: newDirect(&memory{})}
				p := start(r, Config{TTL: ttl}, b.while("a"))
				after(ttl + time.Second)
				for range 10 {
					if lost {
						r.set(nil, false, true)
					} else {
						r.set(errAway, false, false)
					}
					after(ttl / 6)
					has(t, b, "a")
					r.set(nil, false, false)
					after(ttl)
					has(t, b, "a")
				}
				if b.tenures["a"] != 1 {
					t.Errorf("%d tenures, want 1", b.tenures["a"])
				}
				p.stop(t)
			})
		})
	}
}

// An acknowledgement that is lost when the lease is taken costs neither the lease nor safety.
func TestTakenWithoutAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		m := &memory{}
		r := &cut{direct: newDirect(m)}
		r.set(nil, false, true)
		p := start(r, Config{TTL: ttl}, b.while("a"))
		after(2 * ttl)
		has(t, b)
		other := start(newDirect(m), Config{TTL: ttl}, b.while("b"))
		r.set(nil, false, false)
		after(ttl / 2)
		has(t, b, "a")
		p.stop(t)
		other.stop(t)
	})
}

// Somebody else's entry ends a tenure at once.
func TestEntryThatSomebodyElseReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		m := &memory{}
		p := start(newDirect(m), Config{TTL: ttl}, b.while("a"))
		after(ttl + time.Second)
		has(t, b, "a")
		e, err := m.read(t.Context())
		if err == nil {
			_, err = m.write(t.Context(), []byte("nonsense"), e.revision)
		}
		if err != nil {
			t.Fatal(err)
		}
		after(ttl / 3)
		has(t, b)
		// Nobody knows for how long nonsense holds, so it is the TTL of who reads it.
		after(ttl/2 + time.Second)
		has(t, b)
		after(ttl / 2)
		has(t, b, "a")
		p.stop(t)
	})
}

// A bucket that is put back to an earlier state gives revisions out anew: an entry of another holder at a revision that was seen long ago isn't that old.
func TestBucketThatWasPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		dead := newContender(newDirect(m), Config{TTL: ttl})
		live := newContender(newDirect(m), Config{TTL: ttl})
		if _, err := m.write(t.Context(), dead.value(), 0); err != nil {
			t.Fatal(err)
		}
		c := newContender(newDirect(m), Config{TTL: ttl})
		if got, _ := c.try(t.Context()); got != nil {
			t.Fatal("took what was just written")
		}
		time.Sleep(2 * ttl)
		m.held.value = live.value()
		if got, _ := c.try(t.Context()); got != nil {
			t.Error("took the lease of a live holder")
		}
		time.Sleep(ttl)
		if got, _ := c.try(t.Context()); got == nil {
			t.Error("didn't take the lease after the TTL")
		}
	})
}

func TestWhileThatEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		m := &memory{}
		fault := errors.New("fault")
		first := start(newDirect(m), Config{TTL: ttl}, func(context.Context) error { time.Sleep(time.Minute); return fault })
		after(ttl + time.Second)
		second := start(newDirect(m), Config{TTL: ttl}, b.while("b"))
		if err := <-first.ended; !errors.Is(err, fault) {
			t.Errorf("run = %v, want what while has returned", err)
		}
		after(time.Second)
		has(t, b, "b")
		second.stop(t)
	})
}

// Run waits for while, however long that takes, and only then gives the lease back.
func TestWhileThatIsSlowToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		m := &memory{}
		first := start(newDirect(m), Config{TTL: ttl}, func(ctx context.Context) error {
			b.sign("a", true)
			<-ctx.Done()
			time.Sleep(ttl / 3)
			b.sign("a", false)
			return nil
		})
		after(ttl + time.Second)
		second := start(newDirect(m), Config{TTL: ttl}, b.while("b"))
		after(ttl)
		has(t, b, "a")
		first.stop(t)
		after(time.Second)
		has(t, b, "b")
		second.stop(t)
	})
}

func TestRunRefuses(t *testing.T) {
	for _, cfg := range []Config{{}, {Key: "k", TTL: -1}} {
		if err := Run(t.Context(), nil, nil, cfg, nil); err == nil {
			t.Errorf("Run took %+v", cfg)
		}
	}
}
