package app_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/internal/app"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = errors.New("broken")

func TestStackStopsInOppositeOrder(t *testing.T) {
	var stack app.Stack
	var got []string
	for _, name := range []string{"bus", "replica", "api"} {
		stack.Push(name, func(context.Context) error {
			got = append(got, name)
			if name == "replica" {
				return nil
			}
			return fmt.Errorf("%s: %w", name, errBroken)
		})
	}
	err := stack.Stop(t.Context())
	if diff := cmp.Diff([]string{"api", "replica", "bus"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if want := "stop api: api: broken\nstop bus: bus: broken"; !errors.Is(err, errBroken) || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if err := stack.Stop(t.Context()); err != nil || len(got) != 3 {
		t.Errorf("second call: %v, %v", err, got)
	}
}

func TestStackZeroValue(t *testing.T) {
	var stack app.Stack
	if err := stack.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// A part that takes no notice of its context holds up nothing: those before it are stopped, and it is named.
func TestStackIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		var stack app.Stack
		var stopped []string
		well := func(name string) {
			stack.Push(name, func(context.Context) error { stopped = append(stopped, name); return nil })
		}
		hang := func(name string) {
			stack.Push(name, func(context.Context) error { <-release; return nil })
		}
		well("bus")
		hang("replica")
		well("gate")
		hang("fanout")
		well("api")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		err := stack.Stop(ctx)
		if took, want := time.Since(began), 10*time.Second+2*app.Grace; took != want {
			t.Errorf("took %v, want %v", took, want)
		}
		if diff := cmp.Diff([]string{"api", "gate", "bus"}, stopped); diff != "" {
			t.Errorf("stopped (-want +got):\n%s", diff)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v, want the deadline", err)
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != 2 || !strings.HasPrefix(lines[0], "stop fanout: it didn't end") || !strings.HasPrefix(lines[1], "stop replica: it didn't end") {
			t.Errorf("error %q, want one line for each part that hangs", err)
		}
	})
}

// A part that heeds its context has its say after the end of it.
func TestStackLetsPartsReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stack app.Stack
		stack.Push("conns", func(ctx context.Context) error {
			<-ctx.Done()
			<-time.After(app.Grace / 2)
			return errBroken
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := stack.Stop(ctx); !errors.Is(err, errBroken) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want its own", err)
		}
	})
}

func TestStackGo(t *testing.T) {
	tests := []struct {
		name string
		fn   func(context.Context) error
		want string
	}{
		{"ends with its context", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, ""},
		{"says so in its own words", func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("beat: %w", ctx.Err()) }, ""},
		{"ends without an error", func(ctx context.Context) error { <-ctx.Done(); return nil }, ""},
		{"fails while ending", func(ctx context.Context) error { <-ctx.Done(); return errBroken }, "stop beat: broken"},
		{"failed long ago", func(context.Context) error { return errBroken }, "stop beat: broken"},
		{"had ended long ago", func(context.Context) error { return nil }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stack app.Stack
				stack.Go("beat", tt.fn)
				synctest.Wait()
				got := ""
				if err := stack.Stop(t.Context()); err != nil {
					got = err.Error()
				}
				if got != tt.want {
					t.Errorf("error %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// Go's part has ended when what was pushed before it is stopped.
func TestStackGoIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stack app.Stack
		var got []string
		stack.Push("bus", func(context.Context) error { got = append(got, "bus"); return nil })
		stack.Go("beat", func(ctx context.Context) error {
			<-ctx.Done()
			<-time.After(time.Minute)
			got = append(got, "beat")
			return nil
		})
		if err := stack.Stop(t.Context()); err != nil || !slices.Equal(got, []string{"beat", "bus"}) {
			t.Errorf("%v, %v", err, got)
		}
	})
}

func TestStackGoThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stack app.Stack
		release := make(chan struct{})
		stack.Go("fanout", func(context.Context) error { <-release; return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := stack.Stop(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "stop fanout: ") {
			t.Errorf("error %v", err)
		}
		close(release)
	})
}
