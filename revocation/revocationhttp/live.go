package revocationhttp

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// longAgo is a deadline that has passed by every clock.
var longAgo = time.Unix(1, 0)

type contextKey struct{}

// SessionFrom returns the session of a request that passed a Middleware, from the request's context. It returns false for an anonymous
// request, and for a context that no Middleware has seen.
func SessionFrom(ctx context.Context) (revocation.Session, bool) {
	if req, ok := ctx.Value(contextKey{}).(*request); ok {
		return req.session, true
	}
	return revocation.Session{}, false
}

// outer returns the request that a variant of the same middleware has registered, or nil.
func (c *core) outer(ctx context.Context) *request {
	if req, ok := ctx.Value(contextKey{}).(*request); ok && req.core == c {
		return req
	}
	return nil
}

// request is one request under way.
type request struct {
	core    *core
	session revocation.Session
	w       http.ResponseWriter
	r       *http.Request

	// mu orders end after finish or before it: a deadline that is set when the handler has returned would hit the connection's next
	// request. It is held while deadlines are set, which doesn't wait for the peer, and nobody but this request waits for it.
	mu sync.Mutex
	// cancel is nil unless the request is being served.
	cancel context.CancelCauseFunc
	ended  *revocation.EndedError
}

// begin returns the context to serve the request with, or why it must not be served.
func (q *request) begin(parent context.Context) (context.Context, *revocation.EndedError) {
	ctx, cancel := context.WithCancelCause(context.WithValue(parent, contextKey{}, q))
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended != nil {
		cancel(q.ended)
		return nil, q.ended
	}
	q.cancel = cancel
	return ctx, nil
}

// finish says that the handler has returned.
func (q *request) finish() {
	q.mu.Lock()
	cancel := q.cancel
	q.cancel = nil
	q.mu.Unlock()
	cancel(nil)
}

// end ends the request. Before begin it leaves a mark that begin sees; after finish it does nothing. The replica calls it once the session is
// over, and has nothing to end after Close.
func (q *request) end(d revocation.Decision) {
	if q.core.closed.Load() {
		return
	}
	if q.stop(&revocation.EndedError{Decision: d}) && q.core.cfg.OnEnded != nil {
		q.core.cfg.OnEnded(q.r, d)
	}
}

// stop reports whether it has ended a request that was being served.
func (q *request) stop(ended *revocation.EndedError) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended != nil {
		return false
	}
	q.ended = ended
	if q.cancel == nil {
		return false
	}
	// The context first: a handler that a deadline wakes finds the cause there.
	q.cancel(ended)
	if q.core.cfg.EndConn {
		rc := http.NewResponseController(q.w)
		_ = rc.SetReadDeadline(longAgo)
		_ = rc.SetWriteDeadline(longAgo)
	}
	return true
}
