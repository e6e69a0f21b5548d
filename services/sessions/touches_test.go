package sessions_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
	"github.com/curfewhq/curfew/services/sessions"
)

// TestTrap33ServicesTellOfInput: what a person opens in a service keeps the session alive, and what its page asks for by itself doesn't: the service's middleware and the registry together.
func TestTrap33ServicesTellOfInput(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		d := newDesk(t, b, open, sessions.Timing{IdleTimeout: time.Hour}, nil)
		registered := d.register(t, `{"session":"s-1","user":"ada"}`)
		touches, err := revocationhttp.NewTouches(revocationhttp.TouchesConfig{URL: d.api.URL, Keys: map[string]revocationhttp.APIKey{"acme": revocationhttp.NewAPIKey(d.key)}})
		if err != nil {
			t.Fatal(err)
		}
		guard, err := revocationhttp.New(revocationhttp.Config{Replica: d.replica, Session: func(r *http.Request) (revocation.Session, error) {
			return revocation.Session{Tenant: "acme", ID: r.Header.Get("Session"), User: "ada", AuthTime: registered.AuthTime}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = guard.Close() }()
		service := guard.Handler(touches.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		ask := func(session, header, value string) {
			r := httptest.NewRequest(http.MethodGet, "/inbox", nil)
			r.Header.Set("Session", session)
			r.Header.Set(header, value)
			service.ServeHTTP(httptest.NewRecorder(), r)
		}
		seen := func() time.Time {
			s, err := d.store.Session(t.Context(), sessionstore.Key{Tenant: "acme", ID: "s-1"})
			if err != nil {
				t.Fatal(err)
			}
			return s.SeenAt
		}
		ask("s-1", "Sec-Fetch-Mode", "cors") // a page that polls
		if n := touches.Stats().Gathered; n != 0 {
			t.Errorf("%d touches of a page that polls", n)
		}
		ask("s-1", "Sec-Fetch-User", "?1")
		ask("unregistered", "Curfew-Input", "1")
		if err := touches.Close(); err != nil {
			t.Fatal(err)
		}
		if !seen().After(registered.CreatedAt) {
			t.Errorf("last seen %v, registered %v", seen(), registered.CreatedAt)
		}
		if st := touches.Stats(); st.Touched != 1 || st.Unknown != 1 || st.Failures != 0 || st.Dropped != 0 {
			t.Errorf("%+v", st)
		}
	})
}
