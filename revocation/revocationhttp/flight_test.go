package revocationhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// slowGate answers once release is closed, and counts.
type slowGate struct {
	release chan struct{}
	asked   atomic.Int32
}

func (g *slowGate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.asked.Add(1)
	select {
	case <-g.release:
		says(active(1, 0))(w, r)
	case <-r.Context().Done():
	}
}

// Identical questions that are under way together are asked once; others, and later ones, on their own.
func TestAskIdenticalQuestionsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowGate{release: make(chan struct{})}
		_, transport := serveOver(t, slow)
		gate := newGate(t, transport, nil)
		s := session("s1", "u1")
		ask := func(wg *sync.WaitGroup, s revocation.Session, q revocation.Require) {
			wg.Go(func() {
				if d, err := gate.Ask(t.Context(), s, q); err != nil || d.State != revocation.Active {
					t.Errorf("%+v, %v", d, err)
				}
			})
		}
		var wg sync.WaitGroup
		for range 100 {
			ask(&wg, s, revocation.Require{})
			same := s
			same.Tenant, same.AuthTime = "default", s.AuthTime.Truncate(time.Millisecond)
			ask(&wg, same, revocation.Require{MaxStaleness: revocation.DefaultStalenessBudget})
		}
		synctest.Wait()
		if n := slow.asked.Load(); n != 1 {
			t.Errorf("200 identical questions were asked %d times", n)
		}
		other := func(change func(*revocation.Session, *revocation.Require)) {
			s, q := s, revocation.Require{}
			change(&s, &q)
			ask(&wg, s, q)
		}
		other(func(s *revocation.Session, _ *revocation.Require) { s.ID = "s2" })
		other(func(s *revocation.Session, _ *revocation.Require) { s.User = "u2" })
		other(func(s *revocation.Session, _ *revocation.Require) { s.Device = "d2" })
		other(func(s *revocation.Session, _ *revocation.Require) { s.Client = "c2" })
		other(func(s *revocation.Session, _ *revocation.Require) { s.AuthTime = s.AuthTime.Add(time.Millisecond) })
		other(func(_ *revocation.Session, q *revocation.Require) { q.Position = 1 })
		other(func(_ *revocation.Session, q *revocation.Require) { q.MaxStaleness = time.Second })
		other(func(_ *revocation.Session, q *revocation.Require) { q.DangerouslyAllowMissingUser = true })
		synctest.Wait()
		if n := slow.asked.Load(); n != 9 {
			t.Errorf("8 more questions, each another, were asked %d times", n-1)
		}
		close(slow.release)
		wg.Wait()
		ask(&wg, s, revocation.Require{})
		wg.Wait()
		if n := slow.asked.Load(); n != 10 {
			t.Errorf("an answer was remembered: %d questions, want 10", n)
		}
	})
}

// Who goes away doesn't take the question from those who wait for its answer too, and doesn't wait itself.
func TestAskSurvivesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowGate{release: make(chan struct{})}
		_, transport := serveOver(t, slow)
		gate := newGate(t, transport, nil)
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = gate.Ask(ctx, session("s1", "u1"), revocation.Require{}) })
		synctest.Wait()
		wg.Go(func() {
			if _, err := gate.Ask(t.Context(), session("s1", "u1"), revocation.Require{}); err != nil {
				t.Errorf("the second: %v", err)
			}
		})
		synctest.Wait()
		gone := errors.New("gone")
		third, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, gone)
		defer cancel()
		began := time.Now()
		if _, err := gate.Ask(third, session("s1", "u1"), revocation.Require{}); !errors.Is(err, gone) || time.Since(began) != 50*time.Millisecond {
			t.Errorf("the third, who leaves: %v after %v", err, time.Since(began))
		}
		leave()
		synctest.Wait()
		close(slow.release)
		wg.Wait()
		if n := slow.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// More questions than may be under way wait for their turn, and are given up with their time.
func TestAskIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowGate{release: make(chan struct{})}
		_, transport := serveOver(t, slow)
		gate := newGate(t, transport, func(c *revocationhttp.GateConfig) { c.MaxConcurrent = 3 })
		var wg sync.WaitGroup
		ask := func(n int) []error {
			outcomes := make([]error, n)
			for i := range n {
				wg.Go(func() {
					_, outcomes[i] = gate.Ask(t.Context(), session(fmt.Sprint("s", i), "u1"), revocation.Require{})
				})
			}
			return outcomes
		}
		began := time.Now()
		outcomes := ask(20)
		synctest.Wait()
		if n := slow.asked.Load(); n != 3 {
			t.Errorf("%d questions are under way, want 3", n)
		}
		wg.Wait()
		if took := time.Since(began); took != 300*time.Millisecond {
			t.Errorf("given up after %v, want 300 ms", took)
		}
		for i, err := range outcomes {
			if !errors.Is(err, revocationhttp.ErrGateBusy) && !errors.Is(err, revocationhttp.ErrGateUnavailable) {
				t.Errorf("question %d, of a gate that hangs: %v", i, err)
			}
		}
		outcomes = ask(20)
		synctest.Wait()
		close(slow.release)
		wg.Wait()
		for i, err := range outcomes {
			if err != nil {
				t.Errorf("question %d, of a gate that answers: %v", i, err)
			}
		}
	})
}
