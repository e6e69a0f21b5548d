package sampleapp

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
	"github.com/curfewhq/curfew/services/fanout"
	"github.com/curfewhq/curfew/services/publisher"
)

//go:embed static
var static embed.FS

const (
	cookieName = "sample_session"
	issuer     = "curfew-demo"
)

// Users are those who can sign in.
func Users() []string { return []string{"ada", "grace", "linus"} }

// Config of the application. All of it is required.
type Config struct {
	// API is a client of Curfew's API with a key of scope publish.
	API *apiclient.Client
	// APIURL is Curfew's address, for the tabs.
	APIURL string
	// Host is the address of the page. Requests for another host are refused, but for localhost at the same port: a name that somebody else
	// points at this machine (DNS rebinding) isn't this application.
	Host    string
	Replica *revocation.Replica
	// Tabs returns a user's open tabs.
	Tabs func(tenant, user string) []gateways.Tab
	// OnPublish is told of each revocation that the application has published, with when the call began and ended.
	OnPublish func(receipt publisher.Stored, began, ended time.Time)
}

// App is the application. Make it with New and close it.
type App struct {
	cfg    Config
	key    []byte
	signer jose.Signer
	jwt    *revocationhttp.JWT
	guard  *revocationhttp.Middleware
}

// New returns the application with a token key of its own.
func New(cfg Config) (*App, error) {
	a := &App{cfg: cfg, key: make([]byte, 32)}
	_, _ = rand.Read(a.key)
	var err error
	if a.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: a.key}, (&jose.SignerOptions{}).WithType("JWT")); err != nil {
		return nil, fmt.Errorf("sample app: %w", err)
	}
	a.jwt, err = revocationhttp.NewJWT(revocationhttp.JWTConfig{
		Algorithms: []jose.SignatureAlgorithm{jose.HS256}, Keys: revocationhttp.StaticKey(a.key), Issuer: issuer, Cookie: cookieName,
	})
	if err != nil {
		return nil, fmt.Errorf("sample app: %w", err)
	}
	a.guard, err = revocationhttp.New(revocationhttp.Config{Replica: cfg.Replica, Session: a.jwt.Session})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sample app: %w", err), a.jwt.Close())
	}
	return a, nil
}

// Close ends what New started.
func (a *App) Close() error { return errors.Join(a.guard.Close(), a.jwt.Close()) }

// Handler serves the application. Changing requests from other sites are refused (logout CSRF).
func (a *App) Handler() http.Handler {
	mux := http.NewServeMux()
	protect := func(h http.HandlerFunc) http.Handler { return a.guard.Handler(h) }
	files, err := fs.Sub(static, "static")
	if err != nil {
		files = static
	}
	mux.Handle("GET /", a.page(http.FileServerFS(files)))
	mux.HandleFunc("POST /sign-in", a.signIn)
	mux.Handle("GET /me", protect(a.me))
	mux.Handle("POST /ticket", protect(a.ticket))
	mux.Handle("POST /log-out", protect(a.logOut))
	return a.ownHost(http.NewCrossOriginProtection().Handler(mux))
}

func (a *App) ownHost(next http.Handler) http.Handler {
	_, port, _ := net.SplitHostPort(a.cfg.Host)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != a.cfg.Host && r.Host != net.JoinHostPort("localhost", port) {
			problem.New(http.StatusMisdirectedRequest, "wrong_host", "This demonstration answers at http://"+a.cfg.Host+" only.").Write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// page adds what a page with a session behind it should have.
func (a *App) page(next http.Handler) http.Handler {
	ws := strings.Replace(a.cfg.APIURL, "http", "ws", 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' "+ws+"; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// claims are those that Curfew asks of an issuer: a stable sid and an auth time in milliseconds.
type claims struct {
	jwt.Claims
	Session    string `json:"sid"`
	Device     string `json:"device_id"`
	AuthTimeMS int64  `json:"auth_time_ms"`
}

func (a *App) signIn(w http.ResponseWriter, r *http.Request) {
	var q struct {
		User string `json:"user"`
	}
	if !read(w, r, &q) {
		return
	}
	if !slices.Contains(Users(), q.User) {
		problem.Invalid(problem.Fault{Field: "user", Detail: "must be one of " + strings.Join(Users(), ", ")}).Write(w)
		return
	}
	now := time.Now()
	token, err := jwt.Signed(a.signer).Claims(claims{
		Claims:  jwt.Claims{Issuer: issuer, Subject: q.User, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(12 * time.Hour))},
		Session: "s-" + randomID(), Device: "d-" + randomID(), AuthTimeMS: now.UnixMilli(),
	}).Serialize()
	if err != nil {
		problem.New(http.StatusInternalServerError, "sign_in_failed", "The token couldn't be made.").Write(w)
		return
	}
	a.setCookie(w, token, 12*60*60)
	w.WriteHeader(http.StatusNoContent)
}

// setCookie isn't Secure, because the demonstration speaks plain HTTP on loopback.
func (a *App) setCookie(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: a Secure cookie would need TLS
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func randomID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// me tells a tab who it is, and which tabs its user has open.
func (a *App) me(w http.ResponseWriter, r *http.Request) {
	s, _ := revocationhttp.SessionFrom(r.Context())
	problem.JSON(w, http.StatusOK, map[string]any{
		"user": s.User, "session": s.ID, "device": s.Device, "signed_in": s.AuthTime.UTC(), "tabs": a.cfg.Tabs(events.DefaultTenant, s.User),
	})
}

func (a *App) ticket(w http.ResponseWriter, r *http.Request) {
	s, _ := revocationhttp.SessionFrom(r.Context())
	var answer fanout.TicketAnswer
	err := a.cfg.API.Call(r.Context(), http.MethodPost, "/v1/tickets", nil, fanout.TicketRequest{
		User: s.User, Session: s.ID, Device: s.Device, AuthTime: &s.AuthTime, Origin: "http://" + r.Host,
	}, &answer)
	if err != nil {
		problem.Unavailable("ticket_unavailable", "No ticket could be had; try again.", time.Second).Write(w)
		return
	}
	problem.JSON(w, http.StatusOK, map[string]string{"ticket": answer.Ticket, "url": strings.Replace(a.cfg.APIURL, "http", "ws", 1) + "/v1/connect"})
}

// logOut publishes first and answers only then: a logout that isn't stored isn't one (trap 16).
func (a *App) logOut(w http.ResponseWriter, r *http.Request) {
	s, _ := revocationhttp.SessionFrom(r.Context())
	var q struct {
		Scope string `json:"scope"`
	}
	if !read(w, r, &q) {
		return
	}
	by := &events.Initiator{Type: events.InitiatorUser, ID: s.User}
	var path string
	var body any
	switch q.Scope {
	case "here":
		path, body = "/v1/revocations", publisher.Revocation{
			Scope: events.KindSession, Session: s.ID, User: s.User, Device: s.Device, AuthTime: &s.AuthTime, Reason: events.ReasonUserLogout,
			ReasonUser: "You signed out.", Initiator: by,
		}
	case "others":
		path, body = logoutPath(s.User), publisher.Logout{Scope: "others", CurrentSession: s.ID, ReasonUser: "You were signed out from another device.", Initiator: by}
	case "everywhere":
		path, body = logoutPath(s.User), publisher.Logout{Scope: "everywhere", ReasonUser: "You signed out everywhere.", Initiator: by}
	default:
		problem.Invalid(problem.Fault{Field: "scope", Detail: "must be here, others or everywhere"}).Write(w)
		return
	}
	var receipt publisher.Stored
	began := time.Now()
	// The request's own context ends as soon as the replica applies what this call publishes.
	err := a.cfg.API.Call(context.WithoutCancel(r.Context()), http.MethodPost, path, http.Header{"Idempotency-Key": {"sample-" + randomID()}}, body, &receipt)
	ended := time.Now()
	if q.Scope != "others" {
		// The own cookie goes in any case; whether the logout is stored, the answer tells.
		a.setCookie(w, "", -1)
	}
	if err != nil {
		problem.Unavailable("log_out_failed", "The logout couldn't be stored; try again.", time.Second).Write(w)
		return
	}
	a.cfg.OnPublish(receipt, began, ended)
	problem.JSON(w, http.StatusOK, map[string]any{"id": receipt.ID, "position": receipt.Position, "stored_ms": float64(ended.Sub(began).Microseconds()) / 1000})
}

func logoutPath(user string) string { return "/v1/users/" + url.PathEscape(user) + "/logout" }

// read reads a small JSON body; it answers and returns false if it can't.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(into); err != nil {
		problem.New(http.StatusBadRequest, "malformed_body", "The body must be a small JSON object.").Write(w)
		return false
	}
	return true
}
