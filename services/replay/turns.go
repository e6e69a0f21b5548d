package replay

import (
	"context"
	"sync"
	"time"
)

// A reading may be of everything, and takes a processor for as long as that takes; maxReaders leave the process's other services room, and maxOwnReaders of one tenant leave a place for another's.
// Who waits longer than readerPatience is told to come again. Following costs little, and is bounded by its connections alone; but until it
// has caught up with the past it is a reading like others.
const (
	maxReaders     = 4
	maxOwnReaders  = maxReaders - 1
	readerPatience = 10 * time.Second
)

// turns has a place for each reading that may be under way. It is safe for concurrent use.
type turns struct {
	all chan struct{}

	mu sync.Mutex
	// own: a key's tenant → the places that its keys may take. Guarded by mu. There are as many as tenants with keys.
	own map[string]chan struct{}
}

func newTurns() *turns {
	return &turns{all: make(chan struct{}, maxReaders), own: map[string]chan struct{}{}}
}

// take waits for a place, and returns what gives it back; or nil if ctx ends before.
func (t *turns) take(ctx context.Context, tenant string) (leave func()) {
	own := t.of(tenant)
	// Its own first: who waits for the others of its tenant holds no place meanwhile.
	select {
	case own <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	select {
	case t.all <- struct{}{}:
		return func() { <-t.all; <-own }
	case <-ctx.Done():
		<-own
		return nil
	}
}

func (t *turns) of(tenant string) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	own, there := t.own[tenant]
	if !there {
		own = make(chan struct{}, maxOwnReaders)
		t.own[tenant] = own
	}
	return own
}

// turnKey is the context key of what gives a request's place back.
type turnKey struct{}

// caughtUp returns what gives the place of a request back before it ends; nil if it has none.
func caughtUp(ctx context.Context) func() {
	leave, _ := ctx.Value(turnKey{}).(func())
	return leave
}
