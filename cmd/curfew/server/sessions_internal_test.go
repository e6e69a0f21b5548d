package server

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

func TestEither(t *testing.T) {
	now := time.UnixMilli(1767225600123)
	ada := revocation.Session{Tenant: "default", ID: "s1", User: "ada", AuthTime: now}
	sameInstant, later, other := ada, ada, ada
	sameInstant.AuthTime, later.AuthTime, other.ID = now.UTC(), now.Add(time.Millisecond), "s2"
	type answer struct {
		s   revocation.Session
		err error
	}
	has := func(s revocation.Session) answer { return answer{s, nil} }
	none, bad, away := answer{err: revocationhttp.ErrNoSession}, answer{err: revocationhttp.ErrInvalidToken}, answer{err: revocationhttp.ErrKeysUnavailable}
	tests := []struct {
		name string
		a, b answer
		want answer
	}{
		{"none", none, none, none},
		{"the first", has(ada), none, has(ada)},
		{"the second", none, has(ada), has(ada)},
		{"both", has(ada), has(sameInstant), has(ada)},
		{"two sessions", has(ada), has(other), bad},
		{"two auth times", has(ada), has(later), bad},
		{"a bad one", none, bad, bad},
		{"a good one doesn't cover a bad one", has(ada), bad, bad},
		{"nor the other way round", bad, has(ada), bad},
		{"nothing is known of one", away, has(ada), away},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reader := func(a answer) sessionReader {
				return func(*http.Request) (revocation.Session, error) { return a.s, a.err }
			}
			got, err := either(reader(tt.a), reader(tt.b))(httptest.NewRequest(http.MethodGet, "/", nil))
			if !errors.Is(err, tt.want.err) || got != tt.want.s && !got.AuthTime.Equal(tt.want.s.AuthTime) {
				t.Errorf("got %+v %v, want %+v %v", got, err, tt.want.s, tt.want.err)
			}
			if err != nil && strings.Contains(err.Error(), "s1") {
				t.Errorf("an id is quoted: %v", err)
			}
		})
	}
}
