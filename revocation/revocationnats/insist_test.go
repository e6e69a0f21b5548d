package revocationnats

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

var errNobody = errors.New("nobody answers")

// A request that is lost mustn't keep the next from being answered, and an answer that takes long is an answer.
func TestInsist(t *testing.T) {
	for _, tt := range []struct {
		name string
		// ask answers the n-th request, from 0.
		ask  func(ctx context.Context, n int) (string, error)
		want string
		err  error
		// within and asked are exact: the clock is the bubble's.
		within time.Duration
		asked  int
	}{
		{name: "answered at once", ask: func(context.Context, int) (string, error) { return "yes", nil }, want: "yes", asked: 1},
		{name: "the first ones are lost", want: "yes", within: 3 * askAgain, asked: 4, ask: func(ctx context.Context, n int) (string, error) {
			if n < 3 {
				<-ctx.Done()
				return "", ctx.Err()
			}
			return "yes", nil
		}},
		{name: "the first ones are refused", want: "yes", within: 2 * askAgain, asked: 3, ask: func(_ context.Context, n int) (string, error) {
			if n < 2 {
				return "", errNobody
			}
			return "yes", nil
		}},
		{name: "everybody is slow", want: "yes", within: 1900 * time.Millisecond, asked: 10, ask: func(ctx context.Context, _ int) (string, error) {
			select {
			case <-ctx.Done():
				return "", ctx.Err()
			case <-time.After(1900 * time.Millisecond):
				return "yes", nil
			}
		}},
		{name: "an answer that is final", err: ErrNoStream, asked: 1, ask: func(context.Context, int) (string, error) { return "", ErrNoStream }},
		{name: "a refusal that is final", err: revocation.ErrRetention, asked: 1, ask: func(context.Context, int) (string, error) {
			return "", fmt.Errorf("stream: %w", revocation.ErrRetention)
		}},
		{name: "lost for ever", err: context.DeadlineExceeded, within: askTimeout, asked: 10, ask: func(ctx context.Context, _ int) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}},
		{name: "refused for ever", err: errNobody, within: askTimeout, asked: 10, ask: func(context.Context, int) (string, error) { return "", errNobody }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int64
				began := time.Now()
				got, err := insist(t.Context(), func(ctx context.Context) (string, error) { return tt.ask(ctx, int(asked.Add(1))-1) })
				if got != tt.want || !errors.Is(err, tt.err) {
					t.Errorf("insist = %q, %v; want %q, %v", got, err, tt.want, tt.err)
				}
				// The last of the clock's beats may come before the end or after it.
				if n := int(asked.Load()); n < tt.asked || n > tt.asked+1 || n > tt.asked && tt.err == nil {
					t.Errorf("asked %d times, want %d", n, tt.asked)
				}
				if took := time.Since(began); took != tt.within {
					t.Errorf("took %v, want %v", took, tt.within)
				}
			})
		})
	}
}

func TestInsistEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(askAgain+1, func() { cancel(errNobody) })
		_, err := insist(ctx, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		if err == nil {
			t.Error("no error")
		}
		synctest.Wait() // and nobody is left, or the bubble would say so
	})
}
