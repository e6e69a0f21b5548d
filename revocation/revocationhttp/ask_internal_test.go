package revocationhttp

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/internal/clocktest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// A question whose turn doesn't come isn't asked, and says so.
func TestAskWithoutATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate, err := NewGate(GateConfig{
			URL: "http://localhost", MaxConcurrent: 1, Keys: map[string]APIKey{"default": NewAPIKey("a-key")}, Transport: nobody{t},
		})
		if err != nil {
			t.Fatal(err)
		}
		gate.places <- struct{}{}
		began := time.Now()
		_, err = gate.Ask(t.Context(), revocation.Session{ID: "s1"}, revocation.Require{})
		if took := time.Since(began); !errors.Is(err, ErrGateBusy) || took != DefaultAskTimeout {
			t.Errorf("%v after %v, want busy after %v", err, took, DefaultAskTimeout)
		}
		if n, of := len(gate.flights.open), len(gate.flights.of); n+of > 0 {
			t.Errorf("%d questions are left, about %d sessions", n, of)
		}
	})
}

// The machine sleeps between a question and the reading of its answer, which lies in the socket's buffer: the monotonic clock, and with it the timeout, stands
// still, and the answer is as old as the sleep was long. Nor does a clock that is set back make it younger.
func TestAskAnAnswerThatIsReadAfterASleep(t *testing.T) {
	for _, tt := range []struct {
		name string
		// asked is how the moment of asking looks by the two clocks, when the answer is read.
		asked func(time.Time) time.Time
		// age is how old the answer is at least; it is believed if that is within the budget of 15 s.
		age      time.Duration
		believed bool
	}{
		{"at once", func(at time.Time) time.Time { return at }, 0, true},
		{"after an hour's sleep", func(at time.Time) time.Time { return clocktest.Slept(t, at, -time.Hour) }, time.Hour, false},
		{"after a short sleep", func(at time.Time) time.Time { return clocktest.Slept(t, at, -5*time.Second) }, 5 * time.Second, true},
		{"when the clock was set back", func(at time.Time) time.Time { return clocktest.Slept(t, at.Add(-2*time.Second), time.Hour) }, 2 * time.Second, true},
		{"when it took too long", func(at time.Time) time.Time { return clocktest.Slept(t, at.Add(-time.Minute), time.Hour) }, time.Minute, false},
		{"when both were set back", func(at time.Time) time.Time { return at.Add(time.Hour) }, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			if got := (&flight{asked: tt.asked(now)}).age(now); got != tt.age {
				t.Errorf("age %v, want %v", got, tt.age)
			}
			var gate *Gate
			gate, err := NewGate(GateConfig{
				URL: "http://localhost", Keys: map[string]APIKey{"default": NewAPIKey("a-key")},
				Transport: tripper(func(*http.Request) (*http.Response, error) {
					gate.flights.mu.Lock()
					defer gate.flights.mu.Unlock()
					for _, fl := range gate.flights.open {
						fl.asked = tt.asked(fl.asked)
					}
					return &http.Response{
						StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
						Body: io.NopCloser(strings.NewReader(`{"tenant":"default","state":"active","position":9,"staleness_ms":1}`)),
					}, nil
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			d, err := gate.Ask(t.Context(), revocation.Session{ID: "s1"}, revocation.Require{})
			switch {
			case tt.believed && (err != nil || d.State != revocation.Active || d.Staleness < tt.age):
				t.Errorf("%v with a staleness of %v, %v; want active with %v", d.State, d.Staleness, err, tt.age)
			case !tt.believed && !errors.Is(err, ErrGateUndetermined):
				t.Errorf("%v with a staleness of %v, %v; want that the gate can't tell", d.State, d.Staleness, err)
			}
		})
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A staleness budget that a caller has worked out and that is used up is met by no proof: it isn't the default.
func TestAskWithANegativeBudget(t *testing.T) {
	gate, err := NewGate(GateConfig{URL: "http://localhost", Keys: map[string]APIKey{"default": NewAPIKey("a-key")}, Transport: nobody{t}})
	if err != nil {
		t.Fatal(err)
	}
	for _, budget := range []time.Duration{-1, -time.Second, -1 << 63} {
		d, err := gate.Ask(t.Context(), revocation.Session{ID: "s1", User: "u1"}, revocation.Require{MaxStaleness: budget})
		if !errors.Is(err, ErrGateUndetermined) || d.State != revocation.Undetermined {
			t.Errorf("%v: %v, %v", budget, d.State, err)
		}
	}
	// No route can have one. If it had, its policy wouldn't ask for the default either.
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: revocationtest.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer replica.Close()
	guard, err := New(Config{Replica: replica, Session: func(*http.Request) (revocation.Session, error) { return revocation.Session{}, ErrNoSession }})
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	guard.policy = Policy{Require: revocation.Require{MaxStaleness: -1}, Ask: gate}
	s := revocation.Session{ID: "s1", User: "u1", AuthTime: time.Now().Add(-time.Hour)}
	if d, pass := guard.decide(httptest.NewRequest(http.MethodGet, "/", nil), s, 0); pass || !errors.Is(d.Cause, revocation.ErrStale) {
		t.Errorf("a route: %v because of %v, pass %t", d.State, d.Cause, pass)
	}
}

// nobody must not be asked.
type nobody struct{ t *testing.T }

func (n nobody) RoundTrip(*http.Request) (*http.Response, error) {
	n.t.Error("the question was asked")
	return nil, http.ErrServerClosed
}
