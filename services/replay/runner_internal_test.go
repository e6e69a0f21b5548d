package replay

import (
	"context"
	"errors"
	"testing"
)

// TestCancelledBeforeItWasTakenUp: that a replay was cancelled before it was resumed and taken up ends nothing; that it was cancelled since does.
func TestCancelledBeforeItWasTakenUp(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	running := &run{cancel: cancel}
	running.begun.Store(7)
	r := &runner{open: map[string]uint64{}, running: map[string]*run{"a": running}}
	if r.close("a", 5); ctx.Err() != nil {
		t.Error("what was said before ends it")
	}
	if r.close("a", 8); !errors.Is(context.Cause(ctx), errCancelled) {
		t.Errorf("it goes on: %v", context.Cause(ctx))
	}
}
