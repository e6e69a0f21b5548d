package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

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
	s.Push(name, func(bound context.Context) error {
		cancel()
		select {
		case err := <-ended:
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		case <-bound.Done():
			return context.Cause(bound)
		}
	})
}

// Stop stops every part, last in, first out, and returns all their errors, each with its part's name. A second call does nothing.
func (s *Stack) Stop(ctx context.Context) error {
	s.mu.Lock()
	parts := s.parts
	s.parts = nil
	s.mu.Unlock()
	var errs []error
	for i := len(parts) - 1; i >= 0; i-- {
		if err := parts[i].stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", parts[i].name, err))
		}
	}
	return errors.Join(errs...)
}
