package revocationhttp

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// Middleware refuses requests whose session is over. Make one with [New]; it is safe for concurrent use.
type Middleware struct {
	*core
	require revocation.Require
}

// core is what the variants of one middleware share.
type core struct {
	cfg  Config
	live revocation.Live[*request]
	stop func()
	once sync.Once
}

// New returns a middleware that watches cfg.Replica until it is closed. It doesn't block and starts no goroutine.
func New(cfg Config) (*Middleware, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &core{cfg: cfg.withDefaults()}
	c.stop = cfg.Replica.OnApplied(c.applied)
	return &Middleware{core: c, require: cfg.Require}, nil
}

// Close stops watching the replica. Requests under way aren't ended by revocations any more; those to come are still checked. Close it
// when the server has shut down, before the replica. It always returns nil, may be called any number of times, and closes all variants.
func (m *Middleware) Close() error {
	m.once.Do(m.stop)
	return nil
}

// Live returns the number of requests that are being checked or served.
func (m *Middleware) Live() int { return m.live.Len() }

// With returns a variant for some routes, with requirements in place of Config.Require. It shares everything else with m, and isn't
// closed on its own. A variant may stand inside of another: the session is then read once and checked by both. A negative MaxStaleness
// panics: it is a mistake in the code, found when routes are set up.
func (m *Middleware) With(q revocation.Require) *Middleware {
	if err := validateRequire(q); err != nil {
		panic(err)
	}
	return &Middleware{core: m.core, require: q}
}

// RequireFresh returns Handler of a variant whose staleness budget is shorter, say 3 s for payments. A budget longer than the
// replica's has no effect; zero means the replica's, and a negative one panics.
func (m *Middleware) RequireFresh(budget time.Duration) func(http.Handler) http.Handler {
	q := m.require
	q.MaxStaleness = budget
	return m.With(q).Handler
}

// Handler returns a handler that passes to next the requests whose session is alive, and answers the others itself.
//
// next finds the session with [SessionFrom]. Its request's context ends when the session is revoked meanwhile; then context.Cause is
// an [*EndedError]. A handler that lives long (a stream, Server-Sent Events, a hijacked connection) must watch that context, and must not
// return before the connection's end: what it leaves behind is no longer watched. net/http doesn't abort a write that blocks;
// set Config.EndConn for that. A handler that gives up before it has answered should write the answer itself, or net/http says 200:
//
//	if err := context.Cause(r.Context()); errors.Is(err, revocationhttp.ErrSessionEnded) {
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
		m.report(r, d, ok)
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
	//  2. its session is revoked, and the watcher finds no request to end;
	//  3. the request is registered and served, for hours.
	//
	// And the one that is left: 1. registered; 2. checked, active; 3. revoked, and the watcher marks it ended; 4. serve sees the mark.
	req := &request{core: m.core, session: session, w: w, r: r}
	entry := m.live.Add(session, req)
	defer m.live.Remove(entry)
	d, ok := m.decide(r, session, position)
	ctx := r.Context()
	if ok {
		var ended *EndedError
		if ctx, ended = req.begin(ctx); ended != nil {
			d, ok = ended.Decision, false
		} else {
			defer req.finish()
		}
	}
	m.report(r, d, ok)
	if !ok {
		m.refuse(w, Answer(d))
		return
	}
	next.ServeHTTP(w, r.WithContext(ctx))
}

// decide checks a session, waits for the position if that is what it takes, and says whether to pass.
func (m *Middleware) decide(r *http.Request, s revocation.Session, position uint64) (revocation.Decision, bool) {
	q := m.require
	q.Position = max(q.Position, position)
	d := m.cfg.Replica.CheckWith(s, q)
	if d.State == revocation.Undetermined && timeMends(d.Cause) && d.Position < q.Position && m.cfg.PositionTimeout > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), m.cfg.PositionTimeout)
		// The answer to come says whether it got there, so the error has no more to tell.
		_ = m.cfg.Replica.WaitFor(ctx, q.Position)
		cancel()
		d = m.cfg.Replica.CheckWith(s, q)
	}
	pass := d.State == revocation.Active || d.State == revocation.Undetermined && m.cfg.DangerouslyFailOpen && timeMends(d.Cause)
	return d, pass
}

// timeMends reports whether the replica may know more in a while. Only such causes may fail open; an unknown cause doesn't.
func timeMends(cause error) bool {
	return errors.Is(cause, revocation.ErrNotSynced) || errors.Is(cause, revocation.ErrStale) || errors.Is(cause, revocation.ErrBehind)
}

// report tells the hooks of the decision that a request is answered by.
func (m *Middleware) report(r *http.Request, d revocation.Decision, passed bool) {
	if m.cfg.OnDecision != nil {
		m.cfg.OnDecision(r, d)
	}
	if passed && d.State != revocation.Active && m.cfg.OnFailOpen != nil {
		m.cfg.OnFailOpen(r, d)
	}
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
