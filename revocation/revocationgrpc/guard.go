package revocationgrpc

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	"github.com/curfewhq/curfew/revocation"
)

// Guard refuses calls whose session is over, and ends them when it becomes so. Make one with [New] and hand its methods Unary and Stream to a
// server as interceptors. It is safe for concurrent use, starts no goroutine of its own and needs no closing.
type Guard struct{ cfg Config }

// New returns a guard.
func New(cfg Config) (*Guard, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Guard{cfg: cfg.withDefaults()}, nil
}

type contextKey struct{}

// SessionFrom returns the session of a call that passed a Guard, from the call's context. It returns false for an anonymous call, and for a context
// that no Guard has seen.
func SessionFrom(ctx context.Context) (revocation.Session, bool) {
	s, ok := ctx.Value(contextKey{}).(revocation.Session)
	return s, ok
}

// Unary is a [grpc.UnaryServerInterceptor].
//
// The handler's context ends when the session does; then context.Cause is a [*revocation.EndedError], and the call is answered with its status
// if the handler returns an error. A handler that publishes the logout of its own session must do so with context.WithoutCancel(ctx), bounded by a
// timeout, or it may be cut off by its own event.
func (g *Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	c, err := g.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	answer, err := handler(c.ctx, req)
	if ended := c.ended(); ended != nil && err != nil {
		return nil, ended
	}
	return answer, err
}

// Stream is a [grpc.StreamServerInterceptor].
//
// The stream's context ends when the session does; then context.Cause is a [*revocation.EndedError], and RecvMsg and SendMsg return its status,
// also those that are blocked. What was handed to them must not be used after that: grpc may be at it still, until the handler has returned.
func (g *Guard) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	c, err := g.admit(ss.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	defer c.stop()
	if c.watched {
		ss = newStream(ss, c)
	}
	err = handler(srv, ss)
	// A handler may take the end of its context for the end of its work. Its client must not.
	if ended := c.ended(); ended != nil && (err != nil || info.IsServerStream) {
		return ended
	}
	return err
}

// call is one that has been let in.
type call struct {
	guard  *Guard
	method string
	ctx    context.Context
	// watched is false of anonymous calls.
	watched bool
	unwatch context.CancelFunc
}

// admit registers a call, checks it, and returns it or the status to refuse it with.
func (g *Guard) admit(ctx context.Context, method string) (*call, error) {
	policy := g.cfg.policy(method)
	position, err := positionOf(ctx)
	if err != nil {
		return nil, g.fail(ctx, method, err)
	}
	session, err := g.cfg.Session(ctx, method)
	switch {
	case errors.Is(err, ErrNoSession) && policy.AllowAnonymous:
		return &call{guard: g, method: method, ctx: ctx, unwatch: func() {}}, nil
	case err != nil:
		return nil, g.fail(ctx, method, err)
	}
	q := policy.Require
	q.Position = max(q.Position, position)
	// Registered, then checked: a revocation that comes from now on ends the context, and one that came before is seen.
	watched, stop, d := g.cfg.Replica.Watch(context.WithValue(ctx, contextKey{}, session), session, q)
	d = g.catchUp(watched, session, q, d)
	var ended *revocation.EndedError
	if errors.As(context.Cause(watched), &ended) {
		d = ended.Decision // while it waited, or just now
	}
	failOpen := policy.DangerouslyFailOpen && d.MayMend()
	if g.cfg.OnDecision != nil {
		g.cfg.OnDecision(watched, method, d)
	}
	if d.State != revocation.Active && !failOpen {
		stop()
		return nil, answerOf(d).status(g.cfg.RetryAfter).Err()
	}
	if failOpen && g.cfg.OnFailOpen != nil {
		g.cfg.OnFailOpen(watched, method, d)
	}
	g.cfg.Passes.Record(session, method, d)
	return &call{guard: g, method: method, ctx: watched, watched: true, unwatch: stop}, nil
}

// catchUp waits for the required position if that is what it takes, and returns the answer after it.
func (g *Guard) catchUp(ctx context.Context, s revocation.Session, q revocation.Require, d revocation.Decision) revocation.Decision {
	if !d.MayMend() || d.Position >= q.Position || g.cfg.PositionTimeout < 0 {
		return d
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.PositionTimeout)
	defer cancel()
	// The answer to come says whether it got there, so the error has no more to tell.
	_ = g.cfg.Replica.WaitFor(ctx, q.Position)
	return g.cfg.Replica.CheckWith(s, q)
}

func (g *Guard) fail(ctx context.Context, method string, err error) error {
	if g.cfg.OnError != nil {
		g.cfg.OnError(ctx, method, err)
	}
	return answerOfError(err).status(g.cfg.RetryAfter).Err()
}

// ended returns the status of a call whose session is over, or nil.
func (c *call) ended() error {
	var ended *revocation.EndedError
	if !c.watched || !errors.As(context.Cause(c.ctx), &ended) {
		return nil
	}
	return answerOf(ended.Decision).status(c.guard.cfg.RetryAfter).Err()
}

// stop says that the handler has returned.
func (c *call) stop() {
	var ended *revocation.EndedError
	if c.watched && c.guard.cfg.OnEnded != nil && errors.As(context.Cause(c.ctx), &ended) {
		c.guard.cfg.OnEnded(c.ctx, c.method, ended.Decision)
	}
	c.unwatch()
}
