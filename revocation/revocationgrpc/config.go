package revocationgrpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/curfewhq/curfew/revocation"
)

// Defaults of Config.
const (
	// DefaultPositionTimeout is how long a call with a position waits.
	DefaultPositionTimeout = time.Second
	// DefaultRetryAfter is the RetryInfo of answers that time can mend.
	DefaultRetryAfter = time.Second
)

// Checker is what the guard asks; a [*revocation.Replica] is one.
type Checker interface {
	CheckWith(revocation.Session, revocation.Require) revocation.Decision
	WaitFor(ctx context.Context, position uint64) error
	Watch(ctx context.Context, s revocation.Session, q revocation.Require) (context.Context, context.CancelFunc, revocation.Decision)
}

var _ Checker = (*revocation.Replica)(nil)

// Policy is what a method asks of the answer about a session, and whom it lets in without one. The zero value asks for everything, and lets in
// nobody of whom the replica doesn't know.
type Policy struct {
	// Require is what an answer must meet: the staleness budget, claims that may be missing, a position. New refuses a negative budget, which nothing
	// could meet.
	Require revocation.Require
	// DangerouslyFailOpen passes sessions of which the replica doesn't know whether they are over, because it isn't synced, is stale or is behind
	// the required position. Sessions that are known to be over are refused all the same, and so are missing claims, a bad token, and a replica that
	// has been closed. Each pass is told to OnFailOpen.
	DangerouslyFailOpen bool
	// AllowAnonymous passes calls without a token; SessionFrom then returns false. A bad token is refused all the same.
	AllowAnonymous bool
}

// Config is what New needs. Replica and Session are required; the zero value of everything else fails closed.
type Config struct {
	// Replica answers. The guard borrows it: who opened it closes it, after the server has stopped.
	Replica Checker
	// Session says which session a call belongs to, from claims that it has verified. fullMethod is "/package.Service/Method"; what the client sent is
	// in ctx (metadata.FromIncomingContext, [Bearer]). See ErrNoSession for what it returns. It is called from many goroutines at once.
	Session func(ctx context.Context, fullMethod string) (revocation.Session, error)
	// Policy is that of all methods but those of Methods.
	Policy Policy
	// Methods: a full method "/package.Service/Method", or "/package.Service/" for all of a service → its policy, whole, in place of Policy. The
	// method's own entry counts before the service's. Call Covers once the services are registered: a name that is misspelt here changes nothing.
	Methods map[string]Policy
	// PositionTimeout is how long a call with a curfew-position waits for the replica to get there. Zero means DefaultPositionTimeout; negative
	// means that it doesn't wait. Nor does one wait of more than [revocation.MaxWaiters] at once, which is answered as after the timeout; that is one
	// with a far-off position rather than one with that of a publish.
	PositionTimeout time.Duration
	// RetryAfter is what clients are told to wait when time can mend it. Zero means DefaultRetryAfter.
	RetryAfter time.Duration

	// Passes remembers the calls that are passed on, by their full methods, for whoever asks later which calls a session got through before its revocation arrived. Nil remembers none. It is
	// borrowed. Anonymous calls, and those of sessions without an id, aren't remembered.
	Passes *revocation.Passes

	// The hooks are called from the call's goroutine, and may be nil. All but OnError find the session in ctx, with SessionFrom. OnDecision tells of
	// every decision.
	OnDecision func(ctx context.Context, fullMethod string, d revocation.Decision)
	// OnFailOpen tells of every call that was passed though its session is Undetermined. Count it.
	OnFailOpen func(ctx context.Context, fullMethod string, d revocation.Decision)
	// OnError tells why there is no decision: the error of Session, or ErrInvalidPosition. The answer doesn't say.
	OnError func(ctx context.Context, fullMethod string, err error)
	// OnEnded tells of a call whose session ended while it was served, when its handler has returned.
	OnEnded func(ctx context.Context, fullMethod string, d revocation.Decision)
}

// Validate reports every fault of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("revocationgrpc config: "+format, args...))
	}
	if c.Replica == nil {
		fault("Replica is required: open one with revocation.Open")
	}
	if r, ok := c.Replica.(*revocation.Replica); ok && r == nil {
		fault("Replica is a nil *revocation.Replica: check the error of revocation.Open")
	}
	if c.Session == nil {
		fault("Session is required: a function that verifies the call's token")
	}
	if c.RetryAfter < 0 {
		fault("RetryAfter can't be negative: leave it zero for the default")
	}
	if c.Policy.Require.MaxStaleness < 0 {
		fault("Policy: MaxStaleness can't be negative: leave it zero for the replica's budget")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Methods)) {
		if service, _, ok := splitMethod(name); !ok || service == "" {
			fault("Methods: %q isn't a method: write /package.Service/Method, or /package.Service/ for all of a service", name)
		}
		if c.Methods[name].Require.MaxStaleness < 0 {
			fault("Methods: %s: MaxStaleness can't be negative: leave it zero for the replica's budget", name)
		}
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	c.Methods = maps.Clone(c.Methods)
	if c.PositionTimeout == 0 {
		c.PositionTimeout = DefaultPositionTimeout
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = DefaultRetryAfter
	}
	return c
}

// policy returns that of a method.
func (c *Config) policy(fullMethod string) Policy {
	if p, ok := c.Methods[fullMethod]; ok {
		return p
	}
	if service, _, ok := splitMethod(fullMethod); ok {
		if p, ok := c.Methods["/"+service+"/"]; ok {
			return p
		}
	}
	return c.Policy
}

// splitMethod takes "/package.Service/Method" apart, as grpc does.
func splitMethod(fullMethod string) (service, method string, ok bool) {
	rest, ok := strings.CutPrefix(fullMethod, "/")
	at := strings.LastIndexByte(rest, '/')
	if !ok || at < 0 {
		return "", "", false
	}
	return rest[:at], rest[at+1:], true
}

// Covers reports the names in Config.Methods that none of the services has, which are misspelt and would leave a method with the policy of all.
// Call it with Server.GetServiceInfo once all services are registered.
func (g *Guard) Covers(services map[string]grpc.ServiceInfo) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(g.cfg.Methods)) {
		service, method, _ := splitMethod(name)
		info, there := services[service]
		there = there && (method == "" || slices.ContainsFunc(info.Methods, func(m grpc.MethodInfo) bool { return m.Name == method }))
		if !there {
			errs = append(errs, fmt.Errorf("revocationgrpc config: Methods: no registered service has %s", name))
		}
	}
	return errors.Join(errs...)
}
