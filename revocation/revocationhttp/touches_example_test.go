package revocationhttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// An idle timeout needs to know of input: of the page that somebody opens, and not of the one that asks for news by itself.
func ExampleTouches() {
	// The session registry, as curfew serve has one. This one shows what it is told.
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var told struct{ Touches []struct{ Session string } }
		_ = json.NewDecoder(r.Body).Decode(&told)
		fmt.Println("touched:", told.Touches)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"results":[{"session":"s1","result":"touched"}]}`)
	}))
	defer registry.Close()

	touches, err := revocationhttp.NewTouches(revocationhttp.TouchesConfig{
		URL:  registry.URL,
		Keys: map[string]revocationhttp.APIKey{events.DefaultTenant: revocationhttp.NewAPIKey("cfw_0123456789abcdef_an-example")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	replica, err := revocation.Open(context.Background(), revocation.Config{Feed: revocationtest.New()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()
	guard, err := revocationhttp.New(revocationhttp.Config{
		Replica: replica,
		Session: func(*http.Request) (revocation.Session, error) {
			return revocation.Session{ID: "s1", User: "alice", AuthTime: time.Now().Add(-time.Hour)}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer guard.Close()

	mux := http.NewServeMux()
	mux.Handle("/", guard.Handler(touches.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))))
	for range 3 {
		r := httptest.NewRequest(http.MethodGet, "/inbox", nil)
		r.Header.Set("Sec-Fetch-User", "?1") // the browser says that a person has begun this navigation
		mux.ServeHTTP(httptest.NewRecorder(), r)
	}
	mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/inbox/unread", nil))
	fmt.Println("gathered:", touches.Stats().Gathered)

	// At the end, and each 15 s before that.
	if err := touches.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// gathered: 3
	// touched: [{s1}]
}
