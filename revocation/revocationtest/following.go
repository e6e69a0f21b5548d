package revocationtest

import (
	"context"
	"testing"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// following is a Follow under way.
type following struct {
	sink   *recorder
	cancel context.CancelFunc
	done   chan struct{}
	// err is Follow's; read it after done.
	err error
}

func follow(t *testing.T, feed revocation.Feed, r *recorder) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &following{sink: r, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.err = feed.Follow(ctx, r)
	}()
	t.Cleanup(func() {
		cancel()
		<-f.done
	})
	return f
}

func (f *following) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// wait waits for Follow to return.
func (f *following) wait(t *testing.T) error {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
		t.Fatal("Follow doesn't return")
	}
	if n := f.sink.overlaps.Load(); n > 0 {
		t.Errorf("%d calls of the sink came while another was under way", n)
	}
	return f.err
}

func (f *following) stop(t *testing.T) {
	t.Helper()
	f.cancel()
	_ = f.wait(t)
}
