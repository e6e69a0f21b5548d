package revocationhttp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// DefaultPositionTimeout is how long a request with a position waits.
const DefaultPositionTimeout = time.Second

// Checker is what the middleware asks; a [*revocation.Replica] is one.
type Checker interface {
	CheckWith(revocation.Session, revocation.Require) revocation.Decision
	WaitFor(ctx context.Context, position uint64) error
	StalenessBudget() time.Duration
	WatchFunc(s revocation.Session, ended func(revocation.Decision)) (stop func() bool)
}

var _ Checker = (*revocation.Replica)(nil)

// Config is what New needs. Replica and Session are required; the zero value of everything else fails closed.
type Config struct {
	// Replica answers. The middleware borrows it: who opened it closes it, after the middleware.
	Replica Checker
	// Session says which session a request belongs to, from claims that it has verified: [JWT.Session], or a function of your own.
	// It returns ErrNoSession for a request without a token, and an error that wraps ErrInvalidToken for a bad one; any other error
	// is answered with 503. It is called from many goroutines at once.
	Session func(*http.Request) (revocation.Session, error)
	// Policy is that of all routes but those of variants (see Middleware.With): what an answer must meet, and what becomes of requests whose
	// sessions the replica can't tell about.
	Policy Policy
	// AllowAnonymous passes requests without a token; SessionFrom then returns false. A bad token is refused all the same.
	AllowAnonymous bool
	// EndConn also ends reading and writing of a request whose session is revoked while it is served, so that a handler which is blocked
	// in either returns. The connection (HTTP/2: the stream) is of no use afterwards. It needs a ResponseWriter that supports
	// deadlines (see http.ResponseController), such as net/http's own; with others only the context ends.
	EndConn bool
	// PositionTimeout is how long a request with a Curfew-Position waits for the replica to get there. Zero means
	// DefaultPositionTimeout; negative means that it doesn't wait. Nor does one wait of more than [revocation.MaxWaiters] at once, which is answered as
	// after the timeout; that is one with a far-off position rather than one with that of a publish.
	PositionTimeout time.Duration
	// RetryAfter is what clients are told to wait when time can mend it; whole seconds, rounded up. Zero means DefaultRetryAfter.
	RetryAfter time.Duration

	// Passes remembers the requests that are passed on, for whoever asks later which requests a session got through before its revocation arrived. Nil remembers none. It is borrowed. Requests
	// without a token, and those of sessions without an id, aren't remembered.
	Passes *revocation.Passes
	// Route names a request's route for Passes: one of few names, never a path with ids in it. Nil takes the pattern of the http.ServeMux that has routed the request to this middleware, which is
	// empty where the middleware stands in front of the mux.
	Route func(*http.Request) string

	// OnDecision, OnAsk, OnFailOpen and OnError are called from the request's goroutine, and may be nil. OnDecision tells of every
	// decision, once per handler of this package that the request passes.
	OnDecision func(*http.Request, revocation.Decision)
	// OnAsk tells of every request for which a gate was asked: own is what the replica could tell, and err is nil if the gate's answer decided,
	// of which OnDecision tells, or else says why there was none (see Gate.Ask). Count both.
	OnAsk func(r *http.Request, own revocation.Decision, err error)
	// OnFailOpen tells of every request that was passed though its session is Undetermined. Count it.
	OnFailOpen func(*http.Request, revocation.Decision)
	// OnEpisode tells of the first request that a gate has decided or that was passed though nobody could tell, and again when it is over, so
	// that a log has two lines for it and not one for each request. It is over once there was no such request for 10 s and the replica can tell
	// again, or when the middleware is closed. It is called from the request's goroutine or one of the middleware's, and must not block.
	OnEpisode func(Episode)
	// OnError tells why there is no decision: the error of Session, or ErrInvalidPosition. The answer doesn't say.
	OnError func(*http.Request, error)
	// OnEnded tells of a request whose session was revoked, or reached max age, while it was served. Unlike the others it is called from a
	// goroutine of the replica's, while the handler runs: it mustn't block, and mustn't read what the handler may write (headers, body, form).
	OnEnded func(*http.Request, revocation.Decision)
}

// Validate reports every fault of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	if c.Replica == nil {
		errs = append(errs, errors.New("revocationhttp config: Replica is required: open one with revocation.Open"))
	}
	if r, ok := c.Replica.(*revocation.Replica); ok && r == nil {
		errs = append(errs, errors.New("revocationhttp config: Replica is a nil *revocation.Replica: check the error of revocation.Open"))
	}
	if c.Session == nil {
		errs = append(errs, errors.New("revocationhttp config: Session is required: use the method Session of a JWT"))
	}
	if c.RetryAfter < 0 {
		errs = append(errs, errors.New("revocationhttp config: RetryAfter can't be negative: leave it zero for the default"))
	}
	errs = append(errs, c.Policy.validate())
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.PositionTimeout == 0 {
		c.PositionTimeout = DefaultPositionTimeout
	}
	if c.Route == nil {
		c.Route = func(r *http.Request) string { return r.Pattern }
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = DefaultRetryAfter
	}
	return c
}
