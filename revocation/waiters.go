package revocation

import (
	"context"
	"sync"
)

// waiters wakes those who wait for a position. The zero value is ready to use.
type waiters struct {
	mu sync.Mutex
	// waiting: who waits → for which position.
	waiting map[chan struct{}]uint64
}

// wait blocks until reached returns true for pos, ctx ends or done is closed. reached is asked again after joining the list, so that no
// wake-up falls between.
func (w *waiters) wait(ctx context.Context, pos uint64, reached func() bool, done <-chan struct{}) error {
	if reached() {
		return nil
	}
	ch := make(chan struct{})
	w.mu.Lock()
	if w.waiting == nil {
		w.waiting = map[chan struct{}]uint64{}
	}
	w.waiting[ch] = pos
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.waiting, ch)
		w.mu.Unlock()
	}()
	if reached() {
		return nil
	}
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-done:
		return ErrClosed
	}
}

// wake tells everyone who waits for a position up to pos.
func (w *waiters) wake(pos uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch, want := range w.waiting {
		if want <= pos {
			close(ch)
			delete(w.waiting, ch)
		}
	}
}
