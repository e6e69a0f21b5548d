package revocationhttp

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// Middleware refuses requests whose session is over. Make one with [New]; it is safe for concurrent use.
type Middleware struct {
	*core
	policy Policy
}

// core is what the variants of one middleware share.
type core struct {
	cfg Config
	// live counts the requests that are being checked or served.
	live   atomic.Int64
	closed atomic.Bool
	// asked and failedOpen are the episodes of requests that the replica didn't decide.
	asked, failedOpen episodes
}

// New returns a middleware that watches cfg.Replica until it is closed. It doesn't block.
func New(cfg Config) (*Middleware, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &core{
		cfg:        cfg.withDefaults(),
		asked:      episodes{replica: cfg.Replica, tell: cfg.OnEpisode},
		failedOpen: episodes{replica: cfg.Replica, tell: cfg.OnEpisode, failOpen: true},
	}
	return &Middleware{core: c, policy: cfg.Policy}, nil
}

// Close stops ending requests: those under way are served whatever becomes of their sessions; those to come are still checked. Close it
// when the server has shut down, before the replica. An episode that goes on is told to be over. It always returns nil, may be called any number
// of times, but not from OnEpisode, and closes all variants.
func (m *Middleware) Close() error {
	m.closed.Store(true)
	m.asked.close()
	m.failedOpen.close()
	return nil
}

// Live returns the number of requests that are being checked or served.
func (m *Middleware) Live() int { return int(m.live.Load()) }

// With returns a variant for some routes, with p in place of Config.Policy. It shares everything else with m, and isn't closed on its own. A
// variant may stand inside of another: the session is then read once and checked by both. A negative MaxStaleness panics: it is a mistake in the
// code, found when routes are set up.
func (m *Middleware) With(p Policy) *Middleware {
	if err := p.validate(); err != nil {
		panic(err)
	}
	return &Middleware{core: m.core, policy: p}
}

// RequireFresh returns Handler of a variant with m's policy but for its staleness budget, which is shorter, say 3 s for payments. A budget longer
// than the replica's has no effect; zero means the replica's, and a negative one panics.
func (m *Middleware) RequireFresh(budget time.Duration) func(http.Handler) http.Handler {
	p := m.policy
	p.Require.MaxStaleness = budget
	return m.With(p).Handler
}

// Handler returns a handler that passes to next the requests whose session is alive, and answers the others itself.
//
// next finds the session with [SessionFrom]. Its request's context ends when the session is revoked meanwhile, or reaches max age; then
// context.Cause is a [*revocation.EndedError]. A handler that lives long (a stream, Server-Sent Events, a hijacked connection) must watch that
// context, and must not return before the connection's end: what it leaves behind is no longer watched. net/http doesn't abort a write that
// blocks; set Config.EndConn for that. A handler that gives up before it has answered should write the answer itself, or net/http says 200:
//
//	if err := context.Cause(r.Context()); errors.Is(err, revocation.ErrSessionEnded) {
//		revocationhttp.AnswerError(err).Write(w)
//		return
//	}
//
// A handler that publishes the logout of its own session must not do so with the request's context, which ends as soon as the replica has
// applied the event, maybe before the publisher has answered: the logout would look failed, and what comes after it would fail. Detach it:
//
//	position, err := publish(context.WithoutCancel(r.Context()), logout)
//
// Bound it with a timeout of its own, because the client's going away doesn't end it any more.
//
// The ResponseWriter is passed on as it is, so that http.Flusher, http.Hijacker and http.ResponseController work.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.serve(w, r, next) })
}

func (m *Middleware) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	position, _, err := PositionOf(r)
	if err != nil {
		m.fail(w, r, err)
		return
	}
	if outer := m.outer(r.Context()); outer != nil {
		// Registered and served already; only the requirements differ.
		d, ok := m.decide(r, outer.session, position)
		m.report(r, outer.session, d, ok)
		if !ok {
			m.refuse(w, Answer(d))
			return
		}
		next.ServeHTTP(w, r)
		return
	}
	session, err := m.cfg.Session(r)
	switch {
	case errors.Is(err, ErrNoSession) && m.cfg.AllowAnonymous:
		next.ServeHTTP(w, r)
		return
	case err != nil:
		m.fail(w, r, err)
		return
	}

	// Register, then check, then serve. The interleaving that the other order would let through:
	//
	//  1. the request is checked: active;
	//  2. its session is revoked, and the replica finds no request to end;
	//  3. the request is registered and served, for hours.
	//
	// And the one that is left: 1. registered; 2. checked, active; 3. revoked, and the replica marks it ended; 4. serve sees the mark.
	req := &request{core: m.core, session: session, w: w, r: r}
	m.live.Add(1)
	defer m.live.Add(-1)
	stop := m.cfg.Replica.WatchFunc(session, req.end)
	defer stop()
	d, ok := m.decide(r, session, position)
	ctx := r.Context()
	if ok {
		var ended *revocation.EndedError
		if ctx, ended = req.begin(ctx); ended != nil {
			d, ok = ended.Decision, false
		} else {
			defer req.finish()
		}
	}
	m.report(r, session, d, ok)
	if !ok {
		m.refuse(w, Answer(d))
		return
	}
	if m.cfg.Passes != nil {
		m.cfg.Passes.Record(session, m.cfg.Route(r), d)
	}
	next.ServeHTTP(w, r.WithContext(ctx))
}

// report tells the hooks of the decision that a request is answered by.
func (m *Middleware) report(r *http.Request, s revocation.Session, d revocation.Decision, passed bool) {
	if m.cfg.OnDecision != nil {
		m.cfg.OnDecision(r, d)
	}
	if !passed || d.State == revocation.Active {
		return
	}
	if m.cfg.OnFailOpen != nil {
		m.cfg.OnFailOpen(r, d)
	}
	m.failedOpen.count(s, m.policy.Require, d.Cause)
}

func (m *Middleware) fail(w http.ResponseWriter, r *http.Request, err error) {
	if m.cfg.OnError != nil {
		m.cfg.OnError(r, err)
	}
	m.refuse(w, AnswerError(err))
}

func (m *Middleware) refuse(w http.ResponseWriter, p Problem) {
	if p.Retry {
		p.RetryAfter = m.cfg.RetryAfter
	}
	p.Write(w)
}
