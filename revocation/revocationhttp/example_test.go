package revocationhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// A service that refuses revoked sessions. The feed is a fake one here; yours is revocationnats.NewFeed's.
func Example() {
	feed := revocationtest.New()
	feed.AutoBeat(time.Second)
	replica, err := revocation.Open(context.Background(), revocation.Config{Feed: feed})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()

	tokens, err := revocationhttp.NewJWT(revocationhttp.JWTConfig{
		Algorithms: []jose.SignatureAlgorithm{jose.HS256},
		Keys:       revocationhttp.StaticKey([]byte("an example's secret of 32 bytes.")),
		Issuer:     "https://id.example.com",
		Audience:   []string{"https://api.example.com"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tokens.Close()

	guard, err := revocationhttp.New(revocationhttp.Config{Replica: replica, Session: tokens.Session})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer guard.Close()

	mux := http.NewServeMux()
	mux.Handle("GET /", guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := revocationhttp.SessionFrom(r.Context())
		fmt.Fprint(w, "hello ", session.User)
	})))

	get := func() {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+exampleToken())
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	get()
	position := feed.Publish(&events.SessionRevoked{
		Common: events.Common{
			ID: "01890a5d-ac96-774b-bcce-b302099a8057", Time: time.Now(), Source: "example", Tenant: "default",
			Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
		},
		Session: "s1",
	})
	_ = replica.WaitFor(context.Background(), position)
	get()
	// Output:
	// 200 hello alice
	// 401 {"type":"about:blank","title":"Unauthorized","status":401,"detail":"The session is over: sign in again.","code":"session_revoked","reason":"user_logout","retry":false}
}

func exampleToken() string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte("an example's secret of 32 bytes.")}, nil)
	if err != nil {
		panic(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": "https://id.example.com", "aud": "https://api.example.com", "sub": "alice", "sid": "s1",
		"exp": time.Now().Add(time.Minute).Unix(), "auth_time_ms": time.Now().Add(-time.Hour).UnixMilli(),
	}).Serialize()
	if err != nil {
		panic(err)
	}
	return token
}

// A service on the host of an application that signs people in with Auth.js. The secrets are the application's AUTH_SECRET and, while it rotates
// them, those before it.
func ExampleNewAuthJS() {
	cookies, err := revocationhttp.NewAuthJS(revocationhttp.AuthJSConfig{
		Secrets: []revocationhttp.AuthJSSecret{
			revocationhttp.NewAuthJSSecret("an example's secret, the newest one"),
			revocationhttp.NewAuthJSSecret("an example's secret of last year"),
		},
		CookieName: "__Secure-authjs.session-token",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	feed := revocationtest.New()
	replica, err := revocation.Open(context.Background(), revocation.Config{Feed: feed})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()
	guard, err := revocationhttp.New(revocationhttp.Config{Replica: replica, Session: cookies.Session})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer guard.Close()
	page := guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := revocationhttp.SessionFrom(r.Context())
		fmt.Fprint(w, "hello ", session.User)
	}))

	copied := exampleCookie() // by somebody who has got hold of it
	get := func() {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(copied)
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	get()
	position := feed.Publish(&events.SessionRevoked{
		Common: events.Common{
			ID: "01890a5d-ac96-774b-bcce-b302099a8057", Time: time.Now(), Source: "example", Tenant: "default",
			Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
		},
		Session: "s1",
	})
	_ = replica.WaitFor(context.Background(), position)
	get()
	// Output:
	// 200 hello alice
	// 401 {"type":"about:blank","title":"Unauthorized","status":401,"detail":"The session is over: sign in again.","code":"session_revoked","reason":"user_logout","retry":false}
}

// exampleCookie is what Auth.js sets after the jwt callback has added sid and auth_time_ms.
func exampleCookie() *http.Cookie {
	name := "__Secure-authjs.session-token"
	key := key5("an example's secret of last year", name)
	payload := fmt.Sprintf(`{"sub":"alice","sid":"s1","auth_time_ms":%d,"exp":%d}`, time.Now().Add(-time.Hour).UnixMilli(), time.Now().Add(time.Hour).Unix())
	return &http.Cookie{Name: name, Value: sealRaw(key, true, `{"alg":"dir","enc":"A256CBC-HS512","kid":"`+kidOf(key)+`"}`, payload)}
}

// A stream ends with its session, and says so.
func ExampleMiddleware_Handler() {
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-r.Context().Done():
				// The client is gone, or its session is over: context.Cause tells which.
				fmt.Fprint(w, "event: end\ndata: \n\n")
				return
			case <-tick.C:
				fmt.Fprint(w, "data: tick\n\n")
				_ = http.NewResponseController(w).Flush()
			}
		}
	})
	var guard *revocationhttp.Middleware // from New
	if guard != nil {
		http.Handle("GET /stream", guard.Handler(stream))
	}
}

// Policies of routes: payments want fresh proof and fail closed; the account asks a gate when the service's own replica can't tell; the news are
// shown even if nobody can, because a reader whose session is over sees nothing there that isn't public.
func ExamplePolicy() {
	// A gate, as curfew serve --roles gate is one. This one always says that it knows of no end.
	curfew := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"tenant":"default","state":"active","position":7,"staleness_ms":200}`)
	}))
	defer curfew.Close()
	gate, err := revocationhttp.NewGate(revocationhttp.GateConfig{
		URL:  curfew.URL,
		Keys: map[string]revocationhttp.APIKey{events.DefaultTenant: revocationhttp.NewAPIKey("cfw_0123456789abcdef_an-example")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer gate.Close()

	feed := revocationtest.New()
	replica, err := revocation.Open(context.Background(), revocation.Config{Feed: feed})
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
		OnFailOpen: func(r *http.Request, d revocation.Decision) { fmt.Println("passed although:", d.Cause) },
		OnAsk:      func(r *http.Request, own revocation.Decision, err error) { fmt.Println("asked because:", own.Cause) },
		// The replica mostly gets there within a moment; this one never does.
		PositionTimeout: 10 * time.Millisecond,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer guard.Close()

	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})
	mux := http.NewServeMux()
	mux.Handle("/payments", guard.RequireFresh(3*time.Second)(page))
	mux.Handle("/account", guard.With(revocationhttp.Policy{Ask: gate}).Handler(page))
	mux.Handle("/news", guard.With(revocationhttp.Policy{DangerouslyFailOpen: true}).Handler(page))

	// Somebody presents the position of a publish that this replica hasn't heard of yet, and the gate has.
	for _, path := range []string{"/payments", "/account", "/news"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set(revocationhttp.PositionHeader, "7")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(path, w.Code)
	}
	// Output:
	// /payments 503
	// asked because: replica is behind the required position
	// /account 200
	// passed although: replica is behind the required position
	// /news 200
}
