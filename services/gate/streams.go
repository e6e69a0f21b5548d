package gate

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
)

const (
	// maxStreams bounds the streams of a process. Each is a consumer of the ledger and has some hundred kilobytes to read ahead.
	maxStreams = 1024
	// clockInterval is how often the ledger is asked for its time while there are streams.
	clockInterval = 5 * time.Second
	clockTimeout  = 2 * time.Second
	// closeTimeout bounds Close.
	closeTimeout = 5 * time.Second
)

// errDraining is the cause of the end of streams when the process stops.
var errDraining = errors.New("the server is stopping")

// streams counts the open streams of a process and ends them all. It is safe for concurrent use.
type streams struct {
	ledger *ledger.Reader
	// draining ends when the streams must.
	draining context.Context
	stop     context.CancelFunc
	// all counts open streams, and the asking for the time.
	all sync.WaitGroup

	mu sync.Mutex
	// closed is set before stop is called, so that nothing is added to all while it is waited for.
	closed bool
	open   int
	// of: tenant → its open streams, at least 1.
	of     map[string]int
	asking bool
}

func newStreams(l *ledger.Reader) *streams {
	draining, stop := context.WithCancel(context.Background())
	return &streams{ledger: l, draining: draining, stop: stop, of: map[string]int{}}
}

// enter takes a place for a tenant's stream. The caller leaves. A problem of status 0 is none.
//
// A tenant has no more places than it leaves to others: whatever one opens, there is room for another.
func (s *streams) enter(tenant string) (leave func(), p problem.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, problem.Unavailable("draining", "This server is stopping: follow another one.", time.Second)
	case s.of[tenant] >= maxStreams-s.open:
		// At random, so that those who are refused don't come back together.
		return nil, problem.Unavailable("too_many_streams", "This server has as many streams as it can serve: share one between the workers of a machine, or follow another server.",
			2*time.Second+rand.N(8*time.Second))
	}
	s.open++
	s.of[tenant]++
	s.all.Add(1)
	return func() {
		defer s.all.Done()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
		if s.of[tenant]--; s.of[tenant] == 0 {
			delete(s.of, tenant)
		}
	}, problem.Problem{}
}

// drain ends all streams and waits for them, until ctx ends.
func (s *streams) drain(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.all.Wait()
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// clock returns how the ledger's time maps to ours, and has it asked for anew, without waiting, if that was long ago or is in doubt.
func (s *streams) clock(doubt bool) ledger.Clock {
	c := s.ledger.Clock()
	if !doubt && c.Age(c.Streams, time.Now()) < clockInterval {
		return c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking || s.closed {
		return c
	}
	s.asking = true
	s.all.Go(func() {
		ctx, cancel := context.WithTimeout(s.draining, clockTimeout)
		defer cancel()
		// If nobody answers, the old mapping serves on; who needs it next asks again.
		_, _ = s.ledger.Head(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asking = false
	})
	return c
}

// over is why a stream has ended for good: it isn't read on.
type over struct {
	// cause is the metric's.
	cause string
	err   error
}

func (o *over) Error() string { return o.err.Error() }
func (o *over) Unwrap() error { return o.err }

// endedBy returns why a stream whose context has ended has.
func endedBy(ctx context.Context) *over {
	if err := context.Cause(ctx); errors.Is(err, errDraining) {
		return &over{"draining", err}
	}
	return &over{"left", context.Cause(ctx)}
}

// streamHeaders are those of server-sent events that no cache keeps and no proxy gathers.
func streamHeaders(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
}
