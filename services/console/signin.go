package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// notSignedIn is the one place where it is decided what somebody hears who isn't let in.
func notSignedIn(err error) problem.Problem {
	if errors.Is(err, errScope) {
		return problem.New(http.StatusForbidden, "api_key_scope", "The console takes a key with the scope operator or admin: make one with 'curfew keys create --scopes admin,read,sessions,publish'.")
	}
	return problem.New(http.StatusUnauthorized, "not_signed_in", "Sign in: nobody is, or the session is over.")
}

// handleMethods tells the page how one can sign in here.
func (s *Service) handleMethods(w http.ResponseWriter, _ *http.Request) {
	problem.JSON(w, http.StatusOK, map[string]bool{"oidc": s.oidc != nil})
}

// mayTry bounds attempts to sign in.
func (s *Service) mayTry(w http.ResponseWriter) bool {
	if s.signIns.Allow() {
		return true
	}
	p := problem.New(http.StatusTooManyRequests, "too_many_sign_ins", "Too many attempts to sign in: wait some seconds.")
	p.Retry, p.RetryAfter = true, signInsAtOnce/signInsPerSecond*time.Second
	s.refuse(w, p)
	return false
}

// handleSignIn exchanges an API key for a session.
func (s *Service) handleSignIn(w http.ResponseWriter, r *http.Request) {
	if !s.mayTry(w) {
		return
	}
	var q struct {
		Key string `json:"key"`
	}
	if p := problem.Read(w, r, &q); p.Status != 0 {
		s.refuse(w, p)
		return
	}
	text, _ := access.ParseText(q.Key)
	key, ok := s.cfg.Keys.Lookup(text)
	if !ok {
		s.refuse(w, problem.New(http.StatusUnauthorized, "api_key_invalid", "The API key is unknown or revoked; list the keys with 'curfew keys ls'."))
		s.cfg.Log.Warn("an attempt to sign in to the console failed")
		return
	}
	if !mayEnter(key) {
		s.refuse(w, notSignedIn(errScope))
		return
	}
	begun := newSession(time.Now())
	begun.Key = key.ID
	s.begin(w, begun)
}

// begin gives the browser a session, and tells who it is.
func (s *Service) begin(w http.ResponseWriter, begun session) {
	who, err := s.resolve(begun)
	if err == nil {
		err = s.setSession(w, begun)
	}
	if err != nil {
		s.refuse(w, notSignedIn(err))
		return
	}
	s.cfg.Log.WithField(telemetry.FieldKey, who.key.ID).WithField(telemetry.FieldTenant, who.key.Tenant).Info("somebody signed in to the console")
	s.tellWho(w, who)
}

// handleWho tells the page who is signed in.
func (s *Service) handleWho(w http.ResponseWriter, _ *http.Request, who operator) { s.tellWho(w, who) }

func (s *Service) tellWho(w http.ResponseWriter, who operator) {
	problem.JSON(w, http.StatusOK, map[string]any{
		"id": who.key.ID, "name": who.name, "tenant": who.key.Tenant, "scopes": who.key.Scopes,
		"ends_at": time.UnixMilli(who.session.Begun).Add(s.cfg.Lifetime).UTC(), "idle_timeout_ms": s.cfg.IdleTimeout.Milliseconds(),
	})
}

// handleTouch notes that a person is there. The page sends it for input, never by itself: what it asks on a timer keeps nobody signed in.
func (s *Service) handleTouch(w http.ResponseWriter, _ *http.Request, who operator) {
	who.session.Seen = time.Now().UnixMilli()
	if err := s.setSession(w, who.session); err != nil {
		s.refuse(w, notSignedIn(errNoSession))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// signOutTimeout bounds how long a sign-out waits for NATS.
const signOutTimeout = 2 * time.Second

func (s *Service) handleSignOut(w http.ResponseWriter, r *http.Request, who operator) {
	dropCookie(w, cookieName, http.SameSiteStrictMode)
	// The answer is this session's last: what ends its requests mustn't end this one, nor the caller's going away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), signOutTimeout)
	defer cancel()
	err := s.ended.end(ctx, who.session.ID)
	s.open.end(who.session.ID)
	if err != nil {
		s.cfg.Log.WithError(err).Warn("somebody signed out of the console, and other processes couldn't be told")
		s.refuse(w, problem.Unavailable("sign_out_unknown", "You are signed out in this browser and at this process; others couldn't be told, where a copy of the cookie works on for a while. Is NATS up? Ask 'curfew doctor'.", time.Second))
		return
	}
	s.cfg.Log.WithField(telemetry.FieldKey, who.key.ID).Info("somebody signed out of the console")
	w.WriteHeader(http.StatusNoContent)
}

// handleFindings tells what curfew doctor would tell of this process: operators all of it, and others what is wrong. The rest tells of machines, and of every tenant's revocations together.
func (s *Service) handleFindings(w http.ResponseWriter, r *http.Request, who operator) {
	if s.cfg.Findings == nil {
		problem.JSON(w, http.StatusOK, map[string]any{"findings": []any{}})
		return
	}
	problem.JSON(w, http.StatusOK, s.cfg.Findings(r.Context(), who.key.Has(access.ScopeOperator)))
}
