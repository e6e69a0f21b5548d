package revocationhttp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// DefaultAuthJSLeeway is the default of AuthJSConfig.Leeway, and what Auth.js itself allows.
const DefaultAuthJSLeeway = 15 * time.Second

// Limits of an AuthJS.
const (
	// MinAuthJSSecretBytes is how long a secret must be. Auth.js takes any; a guess at a shorter one can be tried on a cookie without asking
	// anybody. "openssl rand -base64 33" makes a good one.
	MinAuthJSSecretBytes = 16
	// MaxAuthJSSecrets is how many secrets there may be: each is tried on a cookie that doesn't name its own.
	MaxAuthJSSecrets = 8
)

// The names that Auth.js 5 and NextAuth.js 4 give their cookies, over https and over http.
var (
	authJS5Names = []string{"__Secure-authjs.session-token", "authjs.session-token"}
	authJS4Names = []string{"__Secure-next-auth.session-token", "next-auth.session-token"}
)

// AuthJSConfig is what NewAuthJS needs. Secrets are required.
type AuthJSConfig struct {
	// Secrets are those that the application's Auth.js has: AUTH_SECRET or NEXTAUTH_SECRET and, where Auth.js 5 rotates them, AUTH_SECRET_3,
	// AUTH_SECRET_2 and AUTH_SECRET_1 before it, newest first. At most MaxAuthJSSecrets, of MinAuthJSSecretBytes each. Whoever holds one can make
	// cookies for any user.
	Secrets []AuthJSSecret
	// CookieName is the name of the application's session cookie, without the .0 and .1 of its chunks. It should be set: empty means whichever
	// of Auth.js's own names a request brings: authjs.session-token, next-auth.session-token, and both with __Secure- before them. Then all
	// that are there must be good and hold the same session, because which one the application serves isn't known here: a cookie that
	// another version or another application on the host has left behind makes the request a bad one.
	CookieName string
	// Claims say where the parts of a session stand. Auth.js writes sub; sid is for the application's jwt callback to add.
	Claims Claims
	// TenantName is the tenant of all sessions, unless Claims.Tenant is set. Empty means events.DefaultTenant.
	TenantName string
	// Leeway is how far the application's clock may be off when exp and nbf are compared. Zero means DefaultAuthJSLeeway; negative means none.
	Leeway time.Duration
}

// AuthJS reads sessions from the cookies of Auth.js 5 and NextAuth.js 4 with the session strategy "jwt", which are encrypted tokens (JWE, RFC
// 7516). Make one with [NewAuthJS]; it is safe for concurrent use, starts nothing and needs no closing. Cookies of the strategy "database" hold
// no token and are bad here.
//
// Auth.js gives a cookie a new iat, exp and jti each time that a session is read, and no auth time. Have the jwt callback add both what a
// session is called and when it began, once, when there is a user, and keep them ever after:
//
//	jwt({ token, user }) {
//		if (user) {
//			token.sid = crypto.randomUUID()
//			token.auth_time_ms = Date.now()
//		}
//		return token
//	}
//
// The auth time is read as a JWT's is: auth_time_ms, then auth_time, which is in seconds. A cookie with neither gives a session without auth
// time, which a middleware refuses unless its policy requires none; a cookie without sid likewise. There is no setting that takes iat for it: a
// copied cookie would outrun every cutoff by being read.
//
// A cookie is taken only as Auth.js writes it: alg dir, enc A256CBC-HS512 (5) or A256GCM (4), no compression, no other header than kid. The key
// depends on the cookie's name in version 5, and each of the default names has the enc of its version; under a name of one's own both are
// read. Nothing beyond 16 KiB or 16 chunks is looked at. A request is refused that holds a cookie twice, in whatever spelling, because another
// host of the domain or another port can add one and the order says nothing (RFC 6265 section 8.6); that has a chunk missing; or that has any
// other cookie whose name begins with this one's, since Auth.js would take it for a part.
type AuthJS struct {
	cfg     AuthJSConfig
	cookies []authJSCookie
}

// NewAuthJS returns a reader of Auth.js's cookies. The keys are derived here, once.
func NewAuthJS(cfg AuthJSConfig) (*AuthJS, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.TenantName == "" {
		cfg.TenantName = events.DefaultTenant
	}
	if cfg.Leeway == 0 {
		cfg.Leeway = DefaultAuthJSLeeway
	}
	cfg.Leeway = max(cfg.Leeway, 0)
	cfg.Claims = cfg.Claims.withDefaults()
	names := slices.Concat(authJS5Names, authJS4Names)
	if cfg.CookieName != "" {
		names = []string{cfg.CookieName}
	}
	a := &AuthJS{cfg: cfg}
	for _, name := range names {
		c, err := newAuthJSCookie(name, cfg.Secrets)
		if err != nil {
			return nil, fmt.Errorf("revocationhttp authjs config: Secrets: %w", err)
		}
		a.cookies = append(a.cookies, c)
	}
	a.cfg.Secrets = nil
	return a, nil
}

func (c AuthJSConfig) validate() error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("revocationhttp authjs config: "+format, args...))
	}
	switch n := len(c.Secrets); {
	case n == 0:
		fault("Secrets is required: give the AUTH_SECRET of the application")
	case n > MaxAuthJSSecrets:
		fault("Secrets: %d are more than %d: leave out those whose cookies have expired", n, MaxAuthJSSecrets)
	}
	for i, s := range c.Secrets {
		switch n := s.len(); {
		case n == 0:
			fault("Secrets: number %d is empty", i+1)
		case n < MinAuthJSSecretBytes:
			fault("Secrets: number %d is shorter than %d bytes and can be guessed: make one with 'openssl rand -base64 33' and give it to the application too", i+1, MinAuthJSSecretBytes)
		}
	}
	if c.CookieName != "" && (&http.Cookie{Name: c.CookieName, Value: "v"}).Valid() != nil {
		fault("CookieName: %q can't be the name of a cookie", c.CookieName)
	}
	if c.TenantName != "" && c.Claims.Tenant != "" {
		fault("TenantName and Claims.Tenant exclude each other: the tenant is fixed, or stands in a claim")
	}
	if c.TenantName != "" && events.TenantFault(c.TenantName) != "" {
		fault("TenantName %s", events.TenantFault(c.TenantName))
	}
	return errors.Join(errs...)
}

// Session reads the session that a request's Auth.js cookie speaks of: Config.Session. A bearer token is none,
// but beside a cookie it mustn't be a token of Auth.js's for another session. Session returns ErrNoSession, or an error that wraps
// ErrInvalidToken and quotes nothing of the cookie. The session may lack parts: whether that is fine is for
// the replica to say. It doesn't block.
func (a *AuthJS) Session(r *http.Request) (revocation.Session, error) {
	var found *revocation.Session
	headers, now := r.Header.Values("Cookie"), time.Now()
	for _, c := range a.cookies {
		token, err := joinCookie(r, headers, c.name)
		if err == nil && token == "" {
			continue
		}
		var s revocation.Session
		if err == nil {
			s, err = a.read(c, token, now)
		}
		if err != nil {
			return revocation.Session{}, fmt.Errorf("cookie %s: %w", c.name, err)
		}
		if found != nil && !sameSession(*found, s) {
			return revocation.Session{}, bad("cookies of several of Auth.js's names hold different sessions: set CookieName to that of the application")
		}
		found = &s
	}
	if found == nil {
		return revocation.Session{}, ErrNoSession
	}
	if a.bearsAnother(r, *found, now) {
		return revocation.Session{}, bad("Authorization holds a token of Auth.js's and the cookie another session")
	}
	return *found, nil
}

// bearsAnother reports whether a request has a bearer token that Auth.js would take, and not for this session. Its getToken falls back to that where
// the cookie that it reads is absent, and which one that is isn't known here without CookieName:
//
//  1. A session is revoked, and somebody has a copy of its token.
//  2. They sign in themselves, and send their own cookie under the name that the application doesn't read; the keys of version 4 are the same.
//  3. They send the copy as the bearer token. The cookie is checked and the copy served.
//
// Bearer tokens that Auth.js can't decrypt are none of its, and ignored.
func (a *AuthJS) bearsAnother(r *http.Request, s revocation.Session, now time.Time) bool {
	for _, header := range r.Header.Values("Authorization") {
		scheme, token, _ := strings.Cut(header, " ")
		token, err := url.PathUnescape(strings.Trim(token, " "))
		if err != nil || !strings.EqualFold(scheme, "Bearer") || len(token) > maxCookieBytes {
			continue
		}
		for _, c := range a.cookies {
			if _, err := c.open(token); err != nil {
				continue
			}
			if other, err := a.read(c, token, now); err != nil || !sameSession(other, s) {
				return true
			}
		}
	}
	return false
}

// read decrypts a cookie and returns the session that it speaks of.
func (a *AuthJS) read(c authJSCookie, token string, now time.Time) (revocation.Session, error) {
	payload, err := c.open(token)
	if err != nil {
		return revocation.Session{}, err
	}
	claims, err := readClaims(payload)
	if err != nil {
		return revocation.Session{}, err
	}
	if _, err := claims.checkDates(now, a.cfg.Leeway); err != nil {
		return revocation.Session{}, err
	}
	s, err := claims.session(a.cfg.Claims, a.cfg.TenantName, false)
	if err != nil {
		return revocation.Session{}, err
	}
	// JavaScript counts in milliseconds. As seconds they lie tens of thousands of years ahead, which would be refused with a less helpful word.
	if s.AuthTime.Year() > 9999 {
		return revocation.Session{}, bad("auth time lies after the year 9999: auth_time is in seconds, milliseconds belong into auth_time_ms")
	}
	return s, nil
}

func sameSession(a, b revocation.Session) bool {
	same := a.AuthTime.Equal(b.AuthTime)
	a.AuthTime, b.AuthTime = time.Time{}, time.Time{}
	return same && a == b
}
