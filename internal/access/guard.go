package access

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/curfewhq/curfew/internal/problem"
)

type contextKey struct{}

// KeyFrom returns the key that a guarded request came with.
func KeyFrom(ctx context.Context) (Key, bool) {
	k, ok := ctx.Value(contextKey{}).(Key)
	return k, ok
}

// WithKey returns a context as Guard makes it, for calls that don't come over HTTP.
func WithKey(ctx context.Context, k Key) context.Context {
	return context.WithValue(ctx, contextKey{}, k)
}

// Guard lets requests with a live key pass that has the scope, and puts the key into their context. onRefuse is told the code of each
// refusal; it may be nil.
func (s *Store) Guard(scope Scope, onRefuse func(code string), next http.Handler) http.Handler {
	return s.guard([]Scope{scope}, onRefuse, next)
}

// guard is Guard for calls that any one of some scopes is enough for. A refusal asks for the first.
func (s *Store) guard(scopes []Scope, onRefuse func(code string), next http.Handler) http.Handler {
	refuse := func(w http.ResponseWriter, p problem.Problem) {
		if onRefuse != nil {
			onRefuse(p.Code)
		}
		p.Write(w)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, p := s.identify(r)
		if p.Status != 0 {
			refuse(w, p)
			return
		}
		if !slices.ContainsFunc(scopes, key.Has) {
			refuse(w, lacks(scopes[0], "The API key lacks the scope "+string(scopes[0])+"; make one with 'curfew keys create --scopes "+string(scopes[0])+"'."))
			return
		}
		next.ServeHTTP(w, r.WithContext(WithKey(r.Context(), key)))
	})
}

// identify returns the key that a request came with, or whom this process has vouched for. The problem has status 0 when all is well.
func (s *Store) identify(r *http.Request) (Key, problem.Problem) {
	if key, ok := r.Context().Value(vouchedKey{}).(Key); ok {
		return key, problem.Problem{}
	}
	text, ok := bearer(r)
	if !ok {
		p := problem.New(http.StatusUnauthorized, "api_key_missing", "There is no API key, or what is there isn't one: send 'Authorization: Bearer <API key>'; make a key with 'curfew keys create'.")
		p.Authenticate = `Bearer realm="curfew"`
		return Key{}, p
	}
	key, ok := s.Lookup(text)
	if !ok {
		p := problem.New(http.StatusUnauthorized, "api_key_invalid", "The API key is unknown or revoked; list the keys with 'curfew keys ls'.")
		p.Authenticate = `Bearer realm="curfew", error="invalid_token"`
		return Key{}, p
	}
	return key, problem.Problem{}
}

// lacks is the answer to a key that may not do what it asks for without a scope.
func lacks(scope Scope, detail string) problem.Problem {
	p := problem.New(http.StatusForbidden, "api_key_scope", detail)
	p.Authenticate = `Bearer realm="curfew", error="insufficient_scope", scope="` + string(scope) + `"`
	return p
}

// bearer returns the request's key. Two Authorization headers are none: which one counts would be anybody's guess.
func bearer(r *http.Request) (Text, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return Text{}, false
	}
	scheme, rest, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return Text{}, false
	}
	return ParseText(strings.TrimSpace(rest))
}
