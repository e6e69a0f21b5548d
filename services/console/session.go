package console

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/internal/access"
)

// cookieName has the prefix with which a browser takes a cookie only if it is Secure, has no Domain and the Path /, so that no neighbour of the host can plant one.
const cookieName = "__Host-curfew-console"

// session is what the cookie holds, sealed. Exactly one of Key and Person is set.
type session struct {
	// ID names the session, in hex, for signing out.
	ID string `json:"id"`
	// Key is the id of the API key that signed in.
	Key    string  `json:"key,omitempty"`
	Person *person `json:"person,omitempty"`
	// Begun and Seen are Unix milliseconds: when it was begun, and when there was input last.
	Begun int64 `json:"begun"`
	Seen  int64 `json:"seen"`
}

// person is somebody whom the provider has vouched for.
type person struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	// Name is for people.
	Name string `json:"name"`
	// Value is what the claim had for which a grant stands in the configuration.
	Value string `json:"value"`
}

var (
	// errNoSession is returned when a request has no cookie of ours, or one that is over for its age, was signed out, or belongs to a revoked key or grant.
	errNoSession = errors.New("not signed in")
	// errScope is returned when a key may not sign in.
	errScope = errors.New("the key has neither the scope operator nor admin")
)

func newSession(now time.Time) session {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	return session{ID: hex.EncodeToString(id), Begun: now.UnixMilli(), Seen: now.UnixMilli()}
}

// until is when the session ends if nobody touches it.
func (q session) until(lifetime, idle time.Duration) time.Time {
	end := time.UnixMilli(q.Begun).Add(lifetime)
	if idleEnd := time.UnixMilli(q.Seen).Add(idle); idleEnd.Before(end) {
		return idleEnd
	}
	return end
}

// seal writes v so that only a console of this deployment can have written it, and under this name. It binds the name, so that no cookie passes for another.
func (s *Service) seal(name string, v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.sealed.Seal(nil, nil, b, []byte(name))), nil
}

// unseal reads what seal has written under the name.
func (s *Service) unseal(name, text string, v any) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return errNoSession
	}
	plain, err := s.sealed.Open(nil, nil, b, []byte(name))
	if err != nil {
		return errNoSession
	}
	return json.Unmarshal(plain, v)
}

// setSession gives the browser its cookie.
func (s *Service) setSession(w http.ResponseWriter, q session) error {
	value, err := s.seal(cookieName, q)
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode, Expires: time.UnixMilli(q.Begun).Add(s.cfg.Lifetime)})
	return nil
}

func dropCookie(w http.ResponseWriter, name string, sameSite http.SameSite) {
	http.SetCookie(w, &http.Cookie{Name: name, Path: "/", Secure: true, HttpOnly: true, SameSite: sameSite, MaxAge: -1})
}

// operator is somebody who is signed in.
type operator struct {
	session session
	// key is the API key, or what stands for one.
	key access.Key
	// name is for people.
	name string
}

// operatorOf returns who a request comes from, or errNoSession.
func (s *Service) operatorOf(r *http.Request) (operator, error) {
	cookies := r.CookiesNamed(cookieName)
	if len(cookies) != 1 {
		return operator{}, errNoSession // of two nobody knows which is meant
	}
	var q session
	if err := s.unseal(cookieName, cookies[0].Value, &q); err != nil {
		return operator{}, errNoSession
	}
	if !time.Now().Before(q.until(s.cfg.Lifetime, s.cfg.IdleTimeout)) || s.ended.has(q.ID) {
		return operator{}, errNoSession
	}
	return s.resolve(q)
}

// resolve looks up what the session's owner may do now.
func (s *Service) resolve(q session) (operator, error) {
	switch {
	case q.Person != nil && s.oidc != nil:
		key, ok := s.oidc.keyOf(*q.Person)
		if !ok {
			return operator{}, errNoSession
		}
		return operator{session: q, key: key, name: q.Person.Name}, nil
	case q.Person == nil:
		key, ok := s.cfg.Keys.ByID(q.Key)
		if !ok {
			return operator{}, errNoSession
		}
		if !mayEnter(key) {
			return operator{}, errScope
		}
		name := key.Name
		if name == "" {
			name = "key " + key.ID
		}
		return operator{session: q, key: key, name: name}, nil
	}
	return operator{}, errNoSession
}

func mayEnter(k access.Key) bool { return k.Has(access.ScopeOperator) || k.Has(access.ScopeAdmin) }
