package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Grace is how long a part may take once Stop's context has ended, to clean up or to say what it couldn't finish.
const Grace = 500 * time.Millisecond

// Stack holds what has to be stopped. The zero value is ready to use. It is safe for concurrent use.
type Stack struct {
	mu    sync.Mutex
	parts []part
}

type part struct {
	name string
	stop func(context.Context) error
}

// Push adds a part, to be stopped before everything that was pushed earlier.
func (s *Stack) Push(name string, stop func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts = append(s.parts, part{name, stop})
}

// Go runs fn in a goroutine of its own, and pushes a part that ends fn's context and waits for it. fn's error, unless it is that of its context, is
// reported by Stop.
func (s *Stack) Go(name string, fn func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- fn(ctx) }()
	s.Push(name, func(context.Context) error {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
}

// Stop stops every part, last in, first out, and returns all their errors, each with its part's name. A second call does nothing.
//
// A part that doesn't return, though ctx and Grace have ended, is named in the error and left behind; the parts before it are stopped
// all the same. So Stop returns when ctx has ended and each part that hangs has had its Grace, at the latest.
func (s *Stack) Stop(ctx context.Context) error {
	s.mu.Lock()
	parts := s.parts
	s.parts = nil
	s.mu.Unlock()
	var errs []error
	for i := len(parts) - 1; i >= 0; i-- {
		if err := parts[i].end(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", parts[i].name, err))
		}
	}
	return errors.Join(errs...)
}

// end calls stop and doesn't trust it to return.
func (p part) end(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- p.stop(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(Grace):
		return fmt.Errorf("it didn't end and was left behind: %w", context.Cause(ctx))
	}
}
