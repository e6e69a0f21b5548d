package revocationhttp

import (
	"errors"
	"maps"
	"net/http"
	"time"
)

// Defaults of GateConfig.
const (
	DefaultAskTimeout    = 300 * time.Millisecond
	DefaultMaxConcurrent = 256
)

// GateConfig is what NewGate needs. URL and Keys are required.
type GateConfig struct {
	// URL is where the gate is, without /v1/check: https, or http to localhost, 127.0.0.0/8 and [::1].
	URL string
	// DangerouslyAllowHTTP allows plain http to other hosts. Whoever can read it on the way learns the keys and the sessions, and whoever can
	// change it vouches for anybody.
	DangerouslyAllowHTTP bool
	// Keys are API keys of the gate with the scope check: tenant → key. Sessions of other tenants aren't asked for. The gate answers for the
	// key's tenant, and an answer for another is not believed.
	Keys map[string]APIKey
	// Timeout bounds one question, all of it. Zero means DefaultAskTimeout.
	Timeout time.Duration
	// MaxConcurrent is how many questions may be under way at once. Further ones wait for their turn within their Timeout, and aren't asked if it
	// doesn't come (ErrGateBusy). Zero means DefaultMaxConcurrent. Four of them at most are about one session of one user, so that nobody takes the
	// places of all by asking for ever other positions.
	MaxConcurrent int
	// Transport is what to ask with; who made it closes it. Nil means one that keeps MaxConcurrent connections alive and uses no proxy.
	Transport http.RoundTripper
}

// Gate asks a gate (curfew serve with the role gate) about sessions, for a [Policy]. Make one with [NewGate], share it between routes, and close
// it. It is safe for concurrent use, and starts no goroutine of its own.
type Gate struct {
	cfg      GateConfig
	endpoint endpoint
	// places holds one element for each question under way.
	places  chan struct{}
	flights flights
}

// NewGate returns a gate. It asks nothing yet. It reports every fault of the configuration at once, and none of them holds a key.
func NewGate(cfg GateConfig) (*Gate, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultAskTimeout
	}
	if cfg.MaxConcurrent == 0 {
		cfg.MaxConcurrent = DefaultMaxConcurrent
	}
	cfg.Keys = maps.Clone(cfg.Keys)
	return &Gate{
		cfg: cfg, places: make(chan struct{}, cfg.MaxConcurrent),
		endpoint: newEndpoint(cfg.URL, "/v1/check", cfg.Transport, cfg.Timeout, cfg.MaxConcurrent),
	}, nil
}

// Close closes idle connections, unless the transport is the caller's. Close it after the middleware; what is asked afterwards is answered all
// the same. It always returns nil and may be called any number of times.
func (g *Gate) Close() error {
	g.endpoint.closeIdle()
	return nil
}

// Validate reports every fault of the configuration at once.
func (c GateConfig) Validate() error {
	const config = "revocationhttp gate config"
	var errs []error
	fault := func(bad bool, text string) {
		if bad {
			errs = append(errs, errors.New(config+": "+text))
		}
	}
	errs = append(errs, urlFault(config, c.URL, c.DangerouslyAllowHTTP))
	errs = append(errs, keyFaults(config, "check", c.Keys)...)
	fault(c.Timeout < 0, "Timeout can't be negative: leave it zero for the default")
	fault(c.MaxConcurrent < 0, "MaxConcurrent can't be negative: leave it zero for the default")
	return errors.Join(errs...)
}
