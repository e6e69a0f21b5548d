package console

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// flowCookie holds a sign-in that is under way at the provider. It is Lax, because the browser comes back from another site.
const flowCookie = "__Host-curfew-console-login"

// flowLifetime is how long somebody may take at the provider.
const flowLifetime = 10 * time.Minute

// flow is what the cookie holds, sealed.
type flow struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	// Ends is in Unix milliseconds.
	Ends int64 `json:"ends"`
}

// handleLogin begins a sign-in at the provider, and tells the page where to send the browser.
func (s *Service) handleLogin(w http.ResponseWriter, r *http.Request) {
	if !s.mayTry(w) {
		return
	}
	f := flow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Ends: time.Now().Add(flowLifetime).UnixMilli()}
	at, err := s.oidc.authorize(r.Context(), f)
	if err != nil {
		s.cfg.Log.WithError(err).Warn("the console's OpenID provider can't be read: is console.oidc.issuer right, and is it up?")
		s.refuse(w, problem.Unavailable("provider_unavailable", "The OpenID provider can't be reached: try again, or sign in with an API key. The log tells more.", askProviderAgain))
		return
	}
	value, err := s.seal(flowCookie, f)
	if err != nil {
		s.refuse(w, notSignedIn(err))
		return
	}
	http.SetCookie(w, &http.Cookie{Name: flowCookie, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(flowLifetime.Seconds())})
	problem.JSON(w, http.StatusOK, map[string]string{"location": at})
}

// handleCallback takes the browser back from the provider, and sends it on to the page, which says how it went.
func (s *Service) handleCallback(w http.ResponseWriter, r *http.Request) {
	dropCookie(w, flowCookie, http.SameSiteLaxMode)
	err := s.finish(w, r)
	to := "/console/"
	switch {
	case errors.Is(err, errNotGranted):
		to += "#/sign-in?failed=not-granted"
	case err != nil:
		to += "#/sign-in?failed=provider"
	}
	if err != nil {
		s.cfg.Refused("sign_in_refused")
		s.cfg.Log.WithError(err).Warn("a sign-in to the console with OpenID failed")
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// finish ends a sign-in that this browser has begun, and no other.
func (s *Service) finish(w http.ResponseWriter, r *http.Request) error {
	cookie, err := r.Cookie(flowCookie)
	if err != nil {
		return errors.New("this browser hasn't begun to sign in, or too long ago")
	}
	var f flow
	if err := s.unseal(flowCookie, cookie.Value, &f); err != nil || time.Now().UnixMilli() > f.Ends {
		return errors.New("the sign-in has taken too long, or isn't of this deployment")
	}
	query := r.URL.Query()
	if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(f.State)) != 1 {
		return errors.New("the state is another sign-in's")
	}
	if query.Get("error") != "" || query.Get("code") == "" {
		return errors.New("the provider has refused")
	}
	who, err := s.oidc.redeem(r.Context(), f, query.Get("code"))
	if err != nil {
		return err
	}
	begun := newSession(time.Now())
	begun.Person = &who
	op, err := s.resolve(begun)
	if err != nil {
		return err
	}
	if err := s.setSession(w, begun); err != nil {
		return err
	}
	s.cfg.Log.WithField(telemetry.FieldKey, op.key.ID).WithField(telemetry.FieldTenant, op.key.Tenant).Info("somebody signed in to the console with OpenID")
	return nil
}
