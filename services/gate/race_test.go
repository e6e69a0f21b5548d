package gate_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Each session is revoked once, by a publisher that runs beside the callers; whoever asks with its position is refused.
func TestGateConcurrently(t *testing.T) {
	g := newRig(t, newKeys(t), nil)
	const callers, sessions = 8, 25
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for i := range sessions {
				sid := fmt.Sprintf("s%d-%d", c, i)
				bearer := token(t, claims(sid, "ada"))
				if w := g.forward(t, bearer); w.Code != http.StatusOK {
					t.Errorf("%s before: %d %s", sid, w.Code, w.Body)
				}
				position := g.feed.Publish(sessionRevoked(sid))
				header := http.Header{"Curfew-Position": {fmt.Sprint(position)}}
				if w := g.do(t, call{target: "/v1/forward-auth", key: bearer, header: header}); w.Code != http.StatusUnauthorized {
					t.Errorf("%s after: %d %s", sid, w.Code, w.Body)
				}
				query := fmt.Sprintf("/v1/check?session=%s&user=ada", sid)
				if got := read(t, g.do(t, call{target: query, key: g.keys.check, header: header})).State; got != "revoked" {
					t.Errorf("%s checked: %s", sid, got)
				}
			}
		})
	}
	all.Wait()
	counted(t, g.metrics.Checks.WithLabelValues("revoked"), 2*callers*sessions)
	counted(t, g.metrics.Checks.WithLabelValues("active"), callers*sessions)
}

// BenchmarkForwardAuth is one call without the network: verifying an ES256 token, and the check.
func BenchmarkForwardAuth(b *testing.B) {
	g := newRig(b, newKeys(b), nil)
	g.logged.Reset()
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/v1/forward-auth", nil)
	r.Header.Set("Authorization", "Bearer "+token(b, claims("laptop", "ada")))
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		g.mux.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			body, _ := io.ReadAll(w.Body)
			b.Fatalf("%d %s", w.Code, body)
		}
	}
}
