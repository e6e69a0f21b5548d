package gateways

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// FleetConfig of a Fleet.
type FleetConfig struct {
	// Settle is for how long after the connection came back answers say MembersUnknown: while NATS was away entries may have expired, and gateways may not be
	// back. Zero means 5 s, which is the longest time between two renewals; negative means not at all.
	Settle time.Duration
}

// Fleet is all gateways, as seen by whoever wants to know of them. Make it with NewFleet, and close it. Its methods are safe for concurrent use.
type Fleet struct {
	nc     *nats.Conn
	kv     jetstream.KeyValue
	settle time.Duration
	// bad counts what wasn't in form, and missed how much of what a follower should have heard was dropped.
	bad, missed atomic.Uint64
	// back is when the connection came back last.
	back atomic.Pointer[time.Time]

	states    chan nats.Status
	done      chan struct{} // closed by Close, or once the connection is closed for good
	watching  sync.WaitGroup
	closeOnce sync.Once
}

// FleetStats counts since NewFleet.
type FleetStats struct {
	// Bad is how many messages, or parts of them, weren't in form and were ignored.
	Bad uint64
	// Missed is how many messages followers have missed because they were too slow.
	Missed uint64
}

// NewFleet returns a fleet over a connection and the bucket of gateways, which stay the caller's. It must be closed, before the connection or after.
func NewFleet(nc *nats.Conn, kv jetstream.KeyValue, cfg FleetConfig) *Fleet {
	if cfg.Settle == 0 {
		cfg.Settle = DefaultRenewal
	}
	f := &Fleet{nc: nc, kv: kv, settle: cfg.Settle, done: make(chan struct{}), states: nc.StatusChanged(nats.CONNECTED, nats.CLOSED)}
	f.watching.Go(f.watch)
	return f
}

// Close ends everything that is under way with ErrClosed. It is idempotent and safe to race.
func (f *Fleet) Close() {
	f.closeOnce.Do(func() { f.nc.RemoveStatusListener(f.states) })
	f.watching.Wait()
}

// Stats returns what was counted.
func (f *Fleet) Stats() FleetStats { return FleetStats{Bad: f.bad.Load(), Missed: f.missed.Load()} }

// watch notes when the connection came back, and that it is closed.
func (f *Fleet) watch() {
	defer close(f.done)
	for state := range f.states {
		if state == nats.CLOSED {
			return
		}
		now := time.Now()
		f.back.Store(&now)
	}
}

func (f *Fleet) closed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// settled reports whether the register can be relied on: NATS has been there for long enough that whoever could renew has.
func (f *Fleet) settled() bool {
	back := f.back.Load()
	return f.nc.IsConnected() && (back == nil || time.Since(*back) >= f.settle)
}
