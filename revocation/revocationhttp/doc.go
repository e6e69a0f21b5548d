// Package revocationhttp refuses requests whose session is over, and ends those that are being served when it becomes so.
//
//	tokens, err := revocationhttp.NewJWT(revocationhttp.JWTConfig{
//		Algorithms: []jose.SignatureAlgorithm{jose.ES256},
//		Keys:       revocationhttp.JWKS(revocationhttp.JWKSConfig{URL: "https://id.example.com/.well-known/jwks.json"}),
//		Issuer:     "https://id.example.com",
//		Audience:   []string{"https://api.example.com"},
//	})
//	if err != nil {
//		return err
//	}
//	defer tokens.Close()
//	guard, err := revocationhttp.New(revocationhttp.Config{Replica: replica, Session: tokens.Session})
//	if err != nil {
//		return err
//	}
//	defer guard.Close()
//
//	mux.Handle("POST /payments", guard.RequireFresh(3*time.Second)(payments))
//	mux.Handle("/", guard.Handler(pages))
//
// A service or gateway that gets the session cookies of Auth.js reads them with [NewAuthJS] in NewJWT's place; a session of your own comes from any
// func(*http.Request) (revocation.Session, error).
//
// # Policies
//
// A replica that isn't synced, or has had no proof for longer than the route's budget, or is behind the position that a request presents, can't
// tell whether a session is over. What becomes of the request then is the route's [Policy]: refuse it, which is the zero value; ask a gate over
// HTTP; or pass it. A gate that can't tell either leads to the policy's second choice, which again is to refuse unless it says otherwise:
//
//	gate, err := revocationhttp.NewGate(revocationhttp.GateConfig{
//		URL:  "https://curfew.example.com",
//		Keys: map[string]revocationhttp.APIKey{"default": revocationhttp.NewAPIKey(text)},
//	})
//	if err != nil {
//		return err
//	}
//	defer gate.Close()
//
//	ask := revocationhttp.Policy{Ask: gate}
//	browse := revocationhttp.Policy{Ask: gate, DangerouslyFailOpen: true}
//	mux.Handle("/account/", guard.With(ask).Handler(account))
//	mux.Handle("/news/", guard.With(browse).Handler(news))
//
// A gate is asked only about what the replica can't tell, and its answer is believed only if it meets what the route requires of the replica's: the
// budget, the position, the tenant. Asking is bounded in time, in answers' length and in how many questions are under way; identical ones are
// asked once; nothing is remembered.
//
// # Idle sessions
//
// When a session has been idle for too long is for the session registry to say, and it must be told of people's input. [Touches] does that: it belongs
// inside of a middleware, takes requests for input that a person has begun ([HasInput]), never those that a page makes by itself, and tells of each
// session at most once in 15 s:
//
//	touches, err := revocationhttp.NewTouches(revocationhttp.TouchesConfig{URL: "https://curfew.example.com", Keys: keys})
//	...
//	defer touches.Close()
//	mux.Handle("/", guard.Handler(touches.Handler(pages)))
//
// Touches are told late rather than lost: what fails is sent again. What had to be dropped is counted, and makes its session look idle.
//
// # Answers
//
// What is refused is answered with problem details (RFC 9457), a stable code, and Cache-Control: no-store. [Answer] and [AnswerError]
// are the whole table:
//
//	code                    status  retry  when
//	session_revoked         401     no     a revocation ends the session, or it is past max age; reason tells which
//	session_undetermined    503     yes    the replica isn't synced, is stale, or is behind Curfew-Position
//	session_claims_missing  401     no     the session lacks an id, a user or an auth time that the route requires
//	session_claims_invalid  401     no     the auth time lies in the future
//	session_required        401     no     the request carries no session
//	invalid_token           401     no     the token is bad, for whatever reason
//	keys_unavailable        503     yes    the keys that verify tokens can't be fetched
//	invalid_position        400     no     Curfew-Position isn't a decimal number
//
// A 503 means that time can mend it; a 401 that signing in again can. A client that repeats a request after session_revoked does so
// for ever, so the code differs from that of a token which has merely expired.
//
// # Promises
//
// The zero value of every policy fails closed. Only DangerouslyFailOpen passes a session that nobody could vouch for, each such pass is told to
// OnFailOpen, and no setting of it passes a missing claim. Each question to a gate is told to OnAsk. OnEpisode tells when either begins and when it
// is over.
//
// A request that has been let in is registered before it is checked, so no revocation falls between: either it is refused, or its
// context ends with the event, or at max age, with a [*revocation.EndedError] as its cause.
//
// # What it doesn't do
//
// It doesn't stop a handler: one that ignores its context runs on. It doesn't end a request whose token expires while it is served, nor one
// while the replica is merely stale: bound the life of streams. It doesn't protect against cross-site requests: with a cookie, use
// [http.CrossOriginProtection] as well. It must stand behind whatever answers CORS preflights, which carry no token. It logs nothing; the hooks
// of [Config] tell.
package revocationhttp
