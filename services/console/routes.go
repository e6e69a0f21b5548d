package console

import (
	"mime"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/problem"
)

// Handler serves /console and everything below it.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /console", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/console/", http.StatusFound) })
	mux.HandleFunc("GET /console/{$}", s.files.handleIndex)
	mux.HandleFunc("GET /console/assets/{file}", s.files.handleAsset)
	own := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, s.sameOrigin(h)) }
	own("GET /console/methods", s.handleMethods)
	own("POST /console/session", s.handleSignIn)
	own("GET /console/session", s.signedIn(s.handleWho))
	own("POST /console/session/touch", s.signedIn(s.handleTouch))
	own("DELETE /console/session", s.signedIn(s.handleSignOut))
	own("GET /console/metrics", s.signedIn(s.handleMetrics))
	own("GET /console/fleet", s.signedIn(s.handleFleet))
	own("GET /console/findings", s.signedIn(s.handleFindings))
	if s.oidc != nil {
		own("POST /console/oidc/login", s.handleLogin)
		mux.HandleFunc("GET /console/oidc/callback", s.handleCallback) // from the provider's pages
	}
	forward := s.sameOrigin(s.signedIn(s.forward))
	for _, pattern := range forwarded() {
		mux.Handle(pattern, forward)
	}
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { s.refuse(w, foreign()) }))
	return secured(protection.Handler(app.API(mux)))
}

// sameOrigin refuses what the browser says another page has caused, also where it only reads: a page of another port of this host is of the same site, so the cookie comes along.
func (s *Service) sameOrigin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
			s.refuse(w, foreign())
			return
		}
		// A form can't send it, whatever page it stands in.
		if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method == http.MethodPost && (err != nil || media != "application/json") {
			s.refuse(w, problem.New(http.StatusUnsupportedMediaType, "unsupported_media_type", "Send the body as application/json."))
			return
		}
		next(w, r)
	}
}

func foreign() problem.Problem {
	return problem.New(http.StatusForbidden, "origin_not_allowed", "The console answers its own page alone: open /console/ in a browser.")
}

// signedIn lets requests of operators pass.
func (s *Service) signedIn(next func(http.ResponseWriter, *http.Request, operator)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := s.operatorOf(r)
		if err != nil {
			if r.Header.Get("Cookie") != "" {
				dropCookie(w, cookieName, http.SameSiteStrictMode)
			}
			s.refuse(w, notSignedIn(err))
			return
		}
		ctx, done, ok := s.open.begin(r.Context(), who.session, who.session.until(s.cfg.Lifetime, s.cfg.IdleTimeout))
		if !ok {
			s.refuse(w, problem.Unavailable("draining", "This process stops: try again in a moment.", time.Second))
			return
		}
		defer done()
		// What ended between the look and the note of it.
		if s.ended.has(who.session.ID) {
			s.refuse(w, notSignedIn(errNoSession))
			return
		}
		next(w, r.WithContext(ctx), who)
	}
}

func (s *Service) refuse(w http.ResponseWriter, p problem.Problem) {
	s.cfg.Refused(p.Code)
	p.Write(w)
}
