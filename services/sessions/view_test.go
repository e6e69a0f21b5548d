package sessions_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/services/sessions"
)

// TestViewTellsWhen: people see when a session began and when somebody was last there, in the list as by itself.
func TestViewTellsWhen(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		d := newDesk(t, b, open, sessions.Timing{IdleTimeout: time.Hour}, nil)
		proved := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
		begun := d.register(t, `{"session":"s-1","user":"ada","auth_time_ms":`+ms(proved)+`}`)
		var touched sessions.TouchResult
		await(t, "a later touch", func() bool {
			d.call(t, http.MethodPost, "/v1/sessions/s-1/touch", "", &touched)
			return touched.LastSeenAt.After(begun.CreatedAt)
		})
		var one sessions.View
		d.call(t, http.MethodGet, "/v1/sessions/s-1", "", &one)
		var list sessions.List
		d.call(t, http.MethodGet, "/v1/users/ada/sessions", "", &list)
		if len(list.Sessions) != 1 || one.User != "ada" {
			t.Fatalf("%+v and %+v", one, list)
		}
		for name, v := range map[string]sessions.View{"by itself": one, "in the list": list.Sessions[0]} {
			if !v.AuthTime.Equal(proved) || !v.CreatedAt.Equal(begun.CreatedAt) || !v.LastSeenAt.Equal(touched.LastSeenAt) || !v.ExpiresAt.Equal(begun.ExpiresAt) || v.Current || !v.EndedAt.IsZero() {
				t.Errorf("%s: %+v; registered %+v, touched %+v", name, v, begun, touched)
			}
		}
	})
}

// TestTenantsDoNotMeet: the tenant is the key's. Sessions and users of another one aren't there, may be called the same, and can't be touched.
func TestTenantsDoNotMeet(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		var keys *access.Store
		d := newDesk(t, b, open, sessions.Timing{IdleTimeout: time.Hour}, func(cfg *sessions.Config) { keys = cfg.Keys })
		ours := d.register(t, `{"session":"s-1","user":"ada"}`)
		acme := d.key
		_, d.key = accesstest.Key(t, keys, "globex", access.ScopeSessions)
		if status := d.call(t, http.MethodGet, "/v1/sessions/s-1", "", nil); status != http.StatusNotFound {
			t.Errorf("another tenant's session: %d", status)
		}
		if status := d.call(t, http.MethodPost, "/v1/sessions/s-1/touch", "", nil); status != http.StatusNotFound {
			t.Errorf("a touch of it: %d", status)
		}
		var several sessions.TouchResults
		d.call(t, http.MethodPost, "/v1/sessions/touch", `{"touches":[{"session":"s-1"}]}`, &several)
		if len(several.Results) != 1 || several.Results[0].Result != sessions.ResultUnknown {
			t.Errorf("among several: %+v", several)
		}
		var list sessions.List
		if d.call(t, http.MethodGet, "/v1/users/ada/sessions", "", &list); len(list.Sessions) != 0 {
			t.Errorf("another tenant's user: %+v", list)
		}
		if status := d.call(t, http.MethodPost, "/v1/sessions", `{"session":"s-1","user":"eve"}`, nil); status != http.StatusCreated {
			t.Errorf("a session of the same name: %d", status)
		}
		d.key = acme
		var v sessions.View
		if d.call(t, http.MethodGet, "/v1/sessions/s-1", "", &v); v.User != "ada" || !v.LastSeenAt.Equal(ours.CreatedAt) {
			t.Errorf("ours is %+v after that", v)
		}
	})
}
