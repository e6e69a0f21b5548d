package lease

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"sync"
	"time"
)

// tenure is the time for which we have the lease.
type tenure struct {
	contender *contender
	// revision is that of our last write.
	revision uint64
	deadline *deadline
}

// hold calls while, and renews the lease meanwhile. It reports whether while has ended by itself, and with what.
func (c *contender) hold(ctx context.Context, t *tenure, while func(context.Context) error) (ended bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan error, 1)
	go func() { done <- while(ctx) }()
	// The deadline has a goroutine of its own, because a write that hangs may be what it is missed for.
	var watch sync.WaitGroup
	watch.Go(func() { t.deadline.watch(ctx, cancel) })

	taken := false
	for next := c.cfg.TTL / 3; ctx.Err() == nil && !ended && !taken; {
		select {
		case <-ctx.Done():
		case err = <-done:
			ended = ctx.Err() == nil
			done <- err
		case <-time.After(next - next/8 + mathrand.N(next/8+1)):
			next, taken = t.renew(ctx)
		}
	}
	if taken {
		cancel(ErrLost)
	}
	cancel(nil)
	err = <-done
	watch.Wait()
	if !taken {
		t.release(ctx)
	}
	return ended, err
}

// renew writes the lease once more. It returns after how long to do so again, and whether another process has it.
func (t *tenure) renew(ctx context.Context) (next time.Duration, taken bool) {
	c := t.contender
	sent := time.Now()
	revision, err := c.write(ctx, c.value(), t.revision)
	if err == nil {
		t.revision = revision
		t.deadline.renewed(sent)
		c.failing = false
		return c.cfg.TTL / 3, false
	}
	if !errors.Is(err, errConflict) {
		c.failed(ctx, err)
		return c.cfg.TTL / 24, false
	}
	// Another has it, or an acknowledgement of ours was lost. The latter moves no deadline: only the next write does.
	e, err := c.read(ctx)
	if c.failed(ctx, err) {
		return c.cfg.TTL / 24, false
	}
	if v, ok := parse(e.value); !ok || v.ID != c.id {
		return 0, true
	}
	t.revision = e.revision
	return c.cfg.TTL / 24, false
}

// release gives the lease back, if it is still ours. It is not for us to insist: without it the others wait for the TTL.
func (t *tenure) release(ctx context.Context) {
	c := t.contender
	c.writes++
	_, _ = c.write(context.WithoutCancel(ctx), value{Writes: c.writes}.bytes(), t.revision)
}

// deadline is when a lease is given up unless it was renewed. It is safe for concurrent use.
type deadline struct {
	ttl time.Duration

	mu sync.Mutex
	// sent is when the last write that was acknowledged was sent.
	sent time.Time
}

func (d *deadline) renewed(sent time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sent = sent
}

// left is how long the lease may still be relied on. The wall clock tells of the machine's sleep, in which the monotonic one stands still.
func (d *deadline) left(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ttl*3/4 - max(now.Sub(d.sent), now.Round(0).Sub(d.sent.Round(0)))
}

// watch ends the holder's context at the deadline. It looks more often than that, for timers stand still in a machine's sleep too.
func (d *deadline) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	for {
		left := d.left(time.Now())
		if left <= 0 {
			cancel(ErrLost)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(left, d.ttl/24)):
		}
	}
}
