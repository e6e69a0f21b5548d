package revocationhttp

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/revocation"
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
		if n := len(gate.flights.open); n > 0 {
			t.Errorf("%d questions are left", n)
		}
	})
}

// nobody must not be asked.
type nobody struct{ t *testing.T }

func (n nobody) RoundTrip(*http.Request) (*http.Response, error) {
	n.t.Error("the question was asked")
	return nil, http.ErrServerClosed
}
