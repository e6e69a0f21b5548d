package revocationhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
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
		other(func(s *revocation.Session, _ *revocation.Require) { s.ID, s.Device = "s3", "d2" })
		other(func(s *revocation.Session, _ *revocation.Require) { s.ID = "s3" })
		other(func(s *revocation.Session, _ *revocation.Require) { s.ID, s.Client = "s3", "c2" })
		other(func(s *revocation.Session, _ *revocation.Require) {
			s.ID, s.AuthTime = "s3", s.AuthTime.Add(time.Millisecond)
		})
		other(func(_ *revocation.Session, q *revocation.Require) { q.Position = 1 })
		other(func(_ *revocation.Session, q *revocation.Require) { q.MaxStaleness = time.Second })
		other(func(_ *revocation.Session, q *revocation.Require) { q.DangerouslyAllowMissingUser = true })
		synctest.Wait()
		if n := slow.asked.Load(); n != 10 {
			t.Errorf("9 more questions, each another, were asked %d times", n-1)
		}
		close(slow.release)
		wg.Wait()
		ask(&wg, s, revocation.Require{})
		wg.Wait()
		if n := slow.asked.Load(); n != 11 {
			t.Errorf("an answer was remembered: %d questions, want 11", n)
		}
	})
}

// One signed-in user, while a gate is what keeps a service up: each request presents another far-off position, so that none shares a flight, and the gate
// waits for each. They must not take the places of everybody else.
func TestAskLetsNobodyTakeAllPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held atomic.Int32
		_, transport := serveOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"position"`) { // as a gate does that isn't there yet
				held.Add(1)
				<-r.Context().Done()
				return
			}
			says(active(9, 0))(w, r)
		}))
		gate := newGate(t, transport, nil)
		const many, may = revocationhttp.DefaultMaxConcurrent + 50, 4
		greedy := session("s1", "u1")
		ask := func(positions int) (outcomes chan error) {
			outcomes = make(chan error, positions)
			for i := range positions {
				go func() {
					_, err := gate.Ask(t.Context(), greedy, revocation.Require{Position: 1<<63 + uint64(i)})
					outcomes <- err
				}()
			}
			synctest.Wait()
			return outcomes
		}
		outcomes := ask(many)
		if held.Load() != may || len(outcomes) != many-may {
			t.Errorf("%d of %d questions about one session are under way, and %d were given up at once; want %d", held.Load(), many, len(outcomes), may)
		}
		for range len(outcomes) {
			if err := <-outcomes; !errors.Is(err, revocationhttp.ErrGateBusy) {
				t.Errorf("one too many: %v", err)
			}
		}
		began := time.Now()
		for _, other := range []revocation.Session{session("s2", "u2"), session("s2", "u1"), session("s1", "u2")} {
			if _, err := gate.Ask(t.Context(), other, revocation.Require{}); err != nil || time.Since(began) != 0 {
				t.Errorf("session %s of %s, meanwhile: %v after %v", other.ID, other.User, err, time.Since(began))
			}
		}
		for range may {
			if err := <-outcomes; !errors.Is(err, revocationhttp.ErrGateUnavailable) {
				t.Errorf("of those that were asked: %v", err)
			}
		}
		// What has landed makes room for others.
		held.Store(0)
		if outcomes = ask(may); held.Load() != may || len(outcomes) != 0 {
			t.Errorf("afterwards %d of %d are under way", held.Load(), may)
		}
		for range may {
			<-outcomes
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
