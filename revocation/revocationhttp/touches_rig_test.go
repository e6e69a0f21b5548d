package revocationhttp_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// registry speaks POST /v1/sessions/touch as the session registry does, strictly; the registry's own tests run the real pair. Its keys are of the tenants
// default and acme.
type registry struct {
	t testing.TB

	mu sync.Mutex
	// got are the touches that it has taken, in their order.
	got []touchTold
	// requests is how many there were, and status what they are answered with; 0 is 200. after is the Retry-After of others.
	requests, status int
	after            string
	// block, if not nil, holds answers up until it is closed or the caller leaves.
	block chan struct{}
	// says is a result other than touched: session → it.
	says map[string]string
	// under is how many requests are under way, and most how many were at once.
	under, most int
	largest     int
}

// touchTold is one touch as the registry was told of it.
type touchTold struct {
	tenant, session string
	at              time.Time
}

const acmeKey = "cfw_fedcba9876543210_fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

func (g *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.requests++
	g.under++
	g.most = max(g.most, g.under)
	block, status := g.block, g.status
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.under--
	}()
	if block != nil {
		select {
		case <-block:
		case <-r.Context().Done():
			return
		}
	}
	tenant := map[string]string{"Bearer " + keyText: "default", "Bearer " + acmeKey: "acme"}[r.Header.Get("Authorization")]
	var body struct {
		Touches []struct {
			Session string `json:"session"`
			AtMS    int64  `json:"at_ms"`
		} `json:"touches"`
	}
	text, _ := io.ReadAll(r.Body)
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	err := dec.Decode(&body)
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/v1/sessions/touch" || r.Header.Get("Content-Type") != "application/json":
		g.t.Errorf("%s %s of %s", r.Method, r.URL, r.Header.Get("Content-Type"))
	case tenant == "":
		status = 401
	case err != nil || len(text) > 1<<20 || len(body.Touches) == 0 || len(body.Touches) > 1000:
		g.t.Errorf("a request of %d bytes with %d touches: %v", len(text), len(body.Touches), err)
		status = 422
	}
	if status != 0 {
		if g.after != "" {
			w.Header().Set("Retry-After", g.after)
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		return
	}
	type result struct {
		Session string `json:"session"`
		Result  string `json:"result"`
	}
	results := []result{}
	g.mu.Lock()
	g.largest = max(g.largest, len(body.Touches))
	for _, t := range body.Touches {
		if events.IDFault(t.Session) != "" {
			g.t.Errorf("a touch has an id that isn't one")
		}
		g.got = append(g.got, touchTold{tenant, t.Session, time.UnixMilli(t.AtMS)})
		says := g.says[t.Session]
		if says == "" {
			says = "touched"
		}
		results = append(results, result{t.Session, says})
	}
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"results": results})
}

// take returns what the registry was told since the last call.
func (g *registry) take() []touchTold {
	g.mu.Lock()
	defer g.mu.Unlock()
	got := g.got
	g.got = nil
	return got
}

// answer sets what it answers from now on.
func (g *registry) answer(status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status = status
}

// asked is how many requests there were.
func (g *registry) asked() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests
}

// failures records what OnError is told.
type failures struct {
	mu   sync.Mutex
	errs []error
	n    int
}

func (f *failures) told(_ string, touches int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs, f.n = append(f.errs, err), f.n+touches
}

func (f *failures) take() []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	errs := f.errs
	f.errs = nil
	return errs
}

// touching runs a test in a bubble, of touches that a registry is told of.
func touching(t *testing.T, change func(*revocationhttp.TouchesConfig), test func(t *testing.T, touches *revocationhttp.Touches, g *registry, f *failures)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g, f := &registry{t: t, says: map[string]string{}}, &failures{}
		_, transport := serveOver(t, g)
		cfg := revocationhttp.TouchesConfig{
			URL: "http://localhost", Transport: transport, OnError: f.told,
			Keys: map[string]revocationhttp.APIKey{"default": revocationhttp.NewAPIKey(keyText), "acme": revocationhttp.NewAPIKey(acmeKey)},
		}
		if change != nil {
			change(&cfg)
		}
		touches, err := revocationhttp.NewTouches(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = touches.Close() })
		test(t, touches, g, f)
	})
}

func sessionOf(tenant, sid, user string) revocation.Session {
	return revocation.Session{Tenant: tenant, ID: sid, User: user}
}

// at returns the sessions and when they were touched, since began.
func at(began time.Time, got []touchTold) []string {
	all := []string{}
	for _, g := range got {
		all = append(all, fmt.Sprint(g.tenant, " ", g.session, " ", g.at.Sub(began)))
	}
	return all
}

// lapse lets time go by in a bubble, and what is due by then happen.
func lapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
