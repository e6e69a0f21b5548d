package console

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
)

// endedSessions are those that were signed out, at any process. Sealed cookies can't be called back, so their ids are remembered until they would be over anyway.
type endedSessions struct {
	kv        jetstream.KeyValue
	following *bus.Following

	mu sync.RWMutex
	// at: id → when it was told. Entries go once no cookie can be as old.
	at map[string]time.Time
}

// keepEnded is longer than a session can last, and than the bucket keeps an entry.
const keepEnded = 26 * time.Hour

// followEnded reads the bucket, and tells of each id when it is there.
func followEnded(ctx context.Context, nc *nats.Conn, kv jetstream.KeyValue, told func(id string)) (*endedSessions, error) {
	e := &endedSessions{kv: kv, at: map[string]time.Time{}}
	var err error
	e.following, err = bus.Follow(ctx, nc, kv, func(entry jetstream.KeyValueEntry) {
		if entry == nil || entry.Operation() != jetstream.KeyValuePut {
			return
		}
		e.note(entry.Key())
		told(entry.Key())
	})
	if err != nil {
		return nil, fmt.Errorf("read which sessions of the console are over: %w", err)
	}
	return e, nil
}

func (e *endedSessions) note(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	for old, at := range e.at {
		if now.Sub(at) > keepEnded {
			delete(e.at, old)
		}
	}
	e.at[id] = now
}

func (e *endedSessions) has(id string) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	_, ok := e.at[id]
	return ok
}

// end ends a session here, and at all processes once it is stored. An error is returned when the others may not know.
func (e *endedSessions) end(ctx context.Context, id string) error {
	e.note(id)
	_, err := e.kv.Put(ctx, id, nil)
	return err
}

func (e *endedSessions) close() { e.following.Close() }

// openRequests are the requests of sessions that are under way, so that a session's end is theirs.
type openRequests struct {
	mu     sync.Mutex
	closed bool
	next   uint64
	// cancels: session → number of the request → what ends it.
	cancels map[string]map[uint64]context.CancelFunc
	running sync.WaitGroup
}

func newOpenRequests() *openRequests {
	return &openRequests{cancels: map[string]map[uint64]context.CancelFunc{}}
}

// begin returns a context that ends with the session, and what to call when the request is answered. ok is false once all is closed.
func (o *openRequests) begin(ctx context.Context, q session, until time.Time) (_ context.Context, done func(), ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, nil, false
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	o.next++
	n := o.next
	if o.cancels[q.ID] == nil {
		o.cancels[q.ID] = map[uint64]context.CancelFunc{}
	}
	o.cancels[q.ID][n] = cancel
	o.running.Add(1)
	return ctx, func() {
		cancel()
		o.mu.Lock()
		defer o.mu.Unlock()
		if delete(o.cancels[q.ID], n); len(o.cancels[q.ID]) == 0 {
			delete(o.cancels, q.ID)
		}
		o.running.Done()
	}, true
}

// end ends the requests of a session.
func (o *openRequests) end(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, cancel := range o.cancels[id] {
		cancel()
	}
}

// close ends all requests, and waits for them.
func (o *openRequests) close() {
	o.mu.Lock()
	o.closed = true
	for _, of := range o.cancels {
		for _, cancel := range of {
			cancel()
		}
	}
	o.mu.Unlock()
	o.running.Wait()
}
