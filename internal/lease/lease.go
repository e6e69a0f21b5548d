package lease

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// DefaultTTL is longer than a NATS cluster takes to elect a leader, so that one that fails doesn't cost the lease.
const DefaultTTL = 30 * time.Second

// ErrLost is the cause of the end of a holder's context when it couldn't renew the lease in time, or another process has it.
var ErrLost = errors.New("the lease was lost")

// Config says which lease.
type Config struct {
	// Key of the lease in its bucket. It is required.
	Key string
	// Holder names this process to whoever reads the bucket. It need not be unique.
	Holder string
	// TTL is how long after a crash of its holder the lease is taken by another process, at the earliest. Zero means DefaultTTL. Processes may have
	// different ones.
	TTL time.Duration
	// Failed is told that the bucket couldn't be read or written, and once more only after that has worked again. It may be nil and must not block.
	Failed func(err error)
}

// ThisProcess names this process to people, as host/pid.
func ThisProcess() string {
	host, _ := os.Hostname() // without one the pid has to do
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// Run contends for the lease until ctx ends, and calls while as often as it gets it, with a context that ends when the lease is about to; its cause is then
// ErrLost. It returns nil when ctx has ended, or what while has returned if that has ended by itself. Before it returns, or contends again, while has
// returned and the lease is given back, so that another process can have it at once. nc is the connection of kv; both stay the caller's.
func Run(ctx context.Context, nc *nats.Conn, kv jetstream.KeyValue, cfg Config, while func(ctx context.Context) error) error {
	if cfg.Key == "" || cfg.TTL < 0 {
		return errors.New("lease: a key is required, and the TTL can't be negative")
	}
	r, err := openBucket(nc, kv, cfg.Key)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	defer r.close()
	return newContender(r, cfg).run(ctx, while)
}

// contender is one process that wants the lease. It is used by one goroutine.
type contender struct {
	register register
	cfg      Config
	// id is ours alone, and writes counts what we have written, so that no two values are equal.
	id     string
	writes uint64
	// seen is the entry that was read last, and seenAt when it was first; zero if nothing was read yet.
	seen   entry
	seenAt time.Time
	// failing is true after the bucket couldn't be read or written.
	failing bool
}

func newContender(r register, cfg Config) *contender {
	if cfg.TTL == 0 {
		cfg.TTL = DefaultTTL
	}
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails
	return &contender{register: r, cfg: cfg, id: hex.EncodeToString(id)}
}

func (c *contender) run(ctx context.Context, while func(context.Context) error) error {
	for ctx.Err() == nil {
		t, wait := c.try(ctx)
		if t == nil {
			c.pause(ctx, wait)
			continue
		}
		ended, err := c.hold(ctx, t, while)
		if ended {
			return err
		}
		c.seenAt = time.Time{}
	}
	return nil
}

// try takes the lease if it may. Otherwise it returns after how long to try again.
func (c *contender) try(ctx context.Context) (t *tenure, wait time.Duration) {
	e, err := c.read(ctx)
	if c.failed(ctx, err) {
		return nil, c.cfg.TTL / 6
	}
	now := time.Now()
	if c.seenAt.IsZero() || !e.equal(c.seen) {
		c.seen, c.seenAt = e, now
	}
	if left := c.patience(e) - now.Sub(c.seenAt); left > 0 {
		// Look now and then, to see each entry as early as can be.
		return nil, min(left, c.cfg.TTL/4)
	}
	revision, err := c.write(ctx, c.value(), e.revision)
	if errors.Is(err, errConflict) {
		// Somebody was faster.
		return nil, c.cfg.TTL / 24
	}
	if c.failed(ctx, err) {
		return nil, c.cfg.TTL / 6
	}
	return &tenure{contender: c, revision: revision, deadline: &deadline{ttl: c.cfg.TTL, sent: now}}, 0
}

// patience is for how long an entry must have been seen unchanged before the lease may be taken.
func (c *contender) patience(e entry) time.Duration {
	v, ok := parse(e.value)
	switch {
	case !ok:
		// There is none, or one that we can't read: nobody knows who had it, and for how long.
		return c.cfg.TTL
	case v.ID == "", v.ID == c.id:
		// It was released, or is our own, as when an acknowledgement was lost.
		return 0
	}
	return time.Duration(v.TTLMillis) * time.Millisecond
}

// value is a new value in our name.
func (c *contender) value() []byte {
	c.writes++
	return value{ID: c.id, Holder: c.cfg.Holder, TTLMillis: (c.cfg.TTL + time.Millisecond - 1).Milliseconds(), Writes: c.writes}.bytes()
}

func (c *contender) read(ctx context.Context) (entry, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.TTL/6)
	defer cancel()
	return c.register.read(ctx)
}

func (c *contender) write(ctx context.Context, value []byte, after uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.TTL/6)
	defer cancel()
	return c.register.write(ctx, value, after)
}

// failed tells of the first of several failures. The end of ctx isn't one.
func (c *contender) failed(ctx context.Context, err error) bool {
	if err != nil && !c.failing && ctx.Err() == nil && c.cfg.Failed != nil {
		c.cfg.Failed(err)
	}
	c.failing = err != nil
	return err != nil
}

// pause waits for about as long, or until somebody seems to have written the entry; but never less than a moment, in which it is stored, and which
// differs between processes.
func (c *contender) pause(ctx context.Context, about time.Duration) {
	moment := min(c.cfg.TTL/20, 100*time.Millisecond)
	select {
	case <-ctx.Done():
		return
	case <-c.register.hints():
	case <-time.After(about):
	}
	select {
	case <-ctx.Done():
	case <-time.After(moment/4 + mathrand.N(moment)):
	}
}
