package gate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/curfewhq/curfew/events"
)

const (
	// eventTimeout bounds the reading of events for one call, all of them together: an answer doesn't wait for its decoration.
	eventTimeout = 250 * time.Millisecond
	// eventRest is how long nothing is read once that time has run out, so that a ledger that hangs costs one slow answer a second, and not all.
	eventRest = time.Second
	// readsPerCall and maxReads bound how many events are read at once: by one call, and by all.
	readsPerCall = 8
	maxReads     = 64
	// maxRecent bounds how many ids the remembered events hold together: of some 40 bytes mostly, and of 256 at most.
	maxRecent = 1 << 16
)

// recall reads events by their positions and remembers those that it read last. It is safe for concurrent use.
type recall struct {
	// at is nil where nothing can be read.
	at    func(context.Context, uint64) (events.Event, error)
	reads chan struct{}
	began time.Time
	// restUntil is on the ledger's own clock, nanoseconds since began.
	restUntil atomic.Int64

	mu sync.Mutex
	// recent: position → event; order holds the positions, oldest first, and held is the weight of all.
	recent map[uint64]events.Event
	order  []uint64
	held   int
}

func newRecall(at func(context.Context, uint64) (events.Event, error)) *recall {
	return &recall{at: at, reads: make(chan struct{}, maxReads), began: time.Now(), recent: map[uint64]events.Event{}}
}

// read returns the events at those of the positions that could be read before ctx ended and within eventTimeout. Each position is read once.
func (l *recall) read(ctx context.Context, positions []uint64) map[uint64]events.Event {
	slices.Sort(positions)
	found, missing := l.remembered(slices.Compact(positions))
	if l.at == nil || len(missing) == 0 || int64(time.Since(l.began)) < l.restUntil.Load() {
		return found
	}
	ctx, cancel := context.WithTimeoutCause(ctx, eventTimeout, errSlow)
	defer cancel()
	var mu sync.Mutex
	var next atomic.Int64
	var readers sync.WaitGroup
	for range min(len(missing), readsPerCall) {
		readers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(missing)); i = next.Add(1) - 1 {
				e, ok := l.readOne(ctx, missing[i])
				if !ok {
					continue
				}
				mu.Lock()
				found[missing[i]] = e
				mu.Unlock()
			}
		})
	}
	readers.Wait()
	if errors.Is(context.Cause(ctx), errSlow) {
		l.restUntil.Store(int64(time.Since(l.began) + eventRest))
	}
	return found
}

// errSlow ends the reading of one call.
var errSlow = errors.New("the ledger is slow")

func (l *recall) readOne(ctx context.Context, position uint64) (events.Event, bool) {
	select {
	case l.reads <- struct{}{}:
		defer func() { <-l.reads }()
	case <-ctx.Done():
		return nil, false
	}
	e, err := l.at(ctx, position)
	if err != nil || e == nil {
		return nil, false
	}
	l.remember(position, e)
	return e, true
}

// remembered divides positions into events that are remembered, and the rest.
func (l *recall) remembered(positions []uint64) (map[uint64]events.Event, []uint64) {
	found := make(map[uint64]events.Event, len(positions))
	var missing []uint64
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range positions {
		if e, ok := l.recent[p]; ok {
			found[p] = e
		} else {
			missing = append(missing, p)
		}
	}
	return found, missing
}

// remember keeps an event, and lets go of the oldest ones.
func (l *recall) remember(position uint64, e events.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.recent[position]; ok {
		return
	}
	l.recent[position] = e
	l.order = append(l.order, position)
	l.held += weight(e)
	for l.held > maxRecent {
		l.drop(0)
	}
}

// forget lets go of an event that isn't what the replica applied at its position: the stream was put back, and holds another there by now.
func (l *recall) forget(position uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.order, position); i >= 0 {
		l.drop(i)
	}
}

// drop takes the i-th oldest out. The caller holds mu.
func (l *recall) drop(i int) {
	position := l.order[i]
	l.held -= weight(l.recent[position])
	delete(l.recent, position)
	l.order = slices.Delete(l.order, i, i+1)
}

// weight is how many ids an event holds, about.
func weight(e events.Event) int {
	const own = 8
	if u, ok := e.(*events.UserLoggedOutEverywhere); ok {
		return own + len(u.Except) + len(u.KnownSessions)
	}
	return own
}
