package revocation

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
)

// Readers, the writer, expiry, growth, shrinking and snapshots at once, and every answer is checked. CURFEW_STRESS=1 makes it ten times as long.
func TestSetWhileItChanges(t *testing.T) {
	duration := 2 * time.Second
	if os.Getenv("CURFEW_STRESS") != "" {
		duration *= 10
	}
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	c := &changing{t: t, set: newSet(keepDefaults, testKey), stop: cancel}
	for i := range steady {
		c.set.apply(sessionOut(i, fmt.Sprint("steady-", i), epoch), uint64(i+1), epoch)
	}
	c.logOut(1)
	var wg sync.WaitGroup
	wg.Go(func() { c.write(ctx) })
	wg.Go(func() { c.expire(ctx) })
	wg.Go(func() { c.snapshot(ctx) })
	for i := range 3 {
		wg.Go(func() { c.read(ctx, rand.New(rand.NewPCG(1, uint64(i)))) })
	}
	wg.Wait()
	t.Logf("%d answers, %d events, %d forgotten, %d snapshots", c.answers.Load(), c.events.Load(), c.forgotten.Load(), c.snapshots.Load())
	if c.answers.Load() == 0 || c.events.Load() == 0 || c.forgotten.Load() == 0 || c.snapshots.Load() == 0 {
		t.Error("something hasn't happened at all")
	}
}

const steady = 3000

// changing is a set of which some answers are known at any time.
type changing struct {
	t    *testing.T
	set  *set
	stop func()
	// cutoff counts milliseconds from epoch: everybody's latest logout that was applied for sure. asked is the latest that may have been.
	cutoff, asked atomic.Int64
	// brief is up to which short-lived session was revoked, and clock up to when, in ticks, everything was forgotten.
	brief, clock                          atomic.Int64
	answers, events, forgotten, snapshots atomic.Int64
}

func (c *changing) fail(format string, args ...any) {
	c.t.Errorf(format, args...)
	c.stop()
}

// logOut logs the users out everywhere but in "mine", and in two others that change each time.
func (c *changing) logOut(n int64) {
	c.asked.Store(n)
	for user := range 5 {
		e := everywhere(int(n), epoch.Add(time.Duration(n)*time.Millisecond), "mine", fmt.Sprint("a", n), fmt.Sprint("b", n))
		e.User = fmt.Sprint("user-", user)
		c.set.apply(e, uint64(n), epoch)
		c.events.Add(1)
	}
	c.cutoff.Store(n)
}

// write logs out, and revokes sessions that are soon forgotten, a few or very many between two rounds of forgetting.
func (c *changing) write(ctx context.Context) {
	tick := time.Duration(c.set.clock.ms) * time.Millisecond
	for n := int64(2); ctx.Err() == nil; n++ {
		c.logOut(n)
		burst := 50
		if n%20 == 0 {
			burst = 20_000
		}
		for range burst {
			i := c.brief.Load()
			e := sessionOut(int(i), fmt.Sprint("brief-", i), epoch)
			e.SessionExpiresAt = epoch.Add(time.Duration(c.clock.Load()+4) * tick)
			c.set.apply(e, uint64(i), epoch)
			c.brief.Add(1)
			c.events.Add(1)
		}
	}
}

func (c *changing) expire(ctx context.Context) {
	tick := time.Duration(c.set.clock.ms) * time.Millisecond
	for ctx.Err() == nil {
		// Never so far that what is steady would be forgotten.
		now := c.clock.Add(1) % 100
		c.clock.Store(now)
		c.forgotten.Add(int64(c.set.expire(epoch.Add(time.Duration(now) * tick))))
	}
}

func (c *changing) snapshot(ctx context.Context) {
	for ctx.Err() == nil {
		h := header{key: testKey, upTo: 1 << 20}
		if err := c.set.write(context.Background(), io.Discard, &h); err != nil {
			c.fail("write: %v", err)
		}
		c.snapshots.Add(1)
	}
}

func (c *changing) read(ctx context.Context, rng *rand.Rand) {
	for ctx.Err() == nil {
		for range 100 {
			c.ask(rng)
		}
		c.answers.Add(100)
	}
}

// ask asks one question whose answer is known.
func (c *changing) ask(rng *rand.Rand) {
	sure := c.cutoff.Load()
	s := Session{User: fmt.Sprint("user-", rng.IntN(5))}
	switch rng.IntN(6) {
	case 0:
		s.ID = fmt.Sprint("steady-", rng.IntN(steady))
		if by, ok := c.set.lookup(&s); !ok || by.scope != ScopeSession || by.reason != events.ReasonUserLogout {
			c.fail("%s passes, or is over by %+v", s.ID, by)
		}
	case 1:
		s.ID, s.AuthTime = fmt.Sprint("nobody-", rng.IntN(1<<30)), time.Now()
		if by, ok := c.set.lookup(&s); ok {
			c.fail("%s is over by %+v", s.ID, by)
		}
	case 2:
		s.ID, s.AuthTime = "other", epoch.Add(time.Duration(rng.Int64N(sure+1))*time.Millisecond)
		if by, ok := c.set.lookup(&s); !ok || by.scope != ScopeUser {
			c.fail("a session begun at %v passes, or is over by %+v; the cutoff is %d ms", s.AuthTime.Sub(epoch), by, sure)
		}
	case 3:
		// Every logout excepts it: at no moment is it over.
		s.ID, s.AuthTime = "mine", epoch.Add(time.Duration(rng.Int64N(sure+1))*time.Millisecond)
		if by, ok := c.set.lookup(&s); ok {
			c.fail("the excepted session is over by %+v", by)
		}
	case 4:
		// Excepted by one logout, and over by the one before it or after.
		s.ID, s.AuthTime = fmt.Sprint("a", 1+rng.Int64N(sure)), epoch
		if sure > 1 {
			if by, ok := c.set.lookup(&s); !ok {
				c.fail("%s, which one logout alone excepts, passes (%+v)", s.ID, by)
			}
		}
	case 5:
		begun := sure + 1
		s.ID, s.AuthTime = "other", epoch.Add(time.Duration(begun)*time.Millisecond)
		if by, ok := c.set.lookup(&s); ok && c.asked.Load() < begun {
			c.fail("a session begun after every cutoff is over by %+v", by)
		}
	}
}
