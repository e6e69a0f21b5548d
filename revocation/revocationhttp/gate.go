package revocationhttp

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
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
	cfg    GateConfig
	url    string
	client *http.Client
	// places holds one element for each question under way.
	places  chan struct{}
	flights flights
	// closeIdle closes the connections of a transport that NewGate made.
	closeIdle func()
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
	closeIdle := func() {}
	if cfg.Transport == nil {
		t := &http.Transport{
			DialContext:         (&net.Dialer{Timeout: cfg.Timeout}).DialContext,
			TLSHandshakeTimeout: cfg.Timeout, IdleConnTimeout: 90 * time.Second,
			MaxIdleConns: cfg.MaxConcurrent, MaxIdleConnsPerHost: cfg.MaxConcurrent,
			MaxResponseHeaderBytes: maxAnswerBytes, DisableCompression: true, ForceAttemptHTTP2: true,
		}
		cfg.Transport, closeIdle = t, t.CloseIdleConnections
	}
	return &Gate{
		cfg: cfg, url: strings.TrimSuffix(cfg.URL, "/") + "/v1/check", closeIdle: closeIdle, places: make(chan struct{}, cfg.MaxConcurrent),
		client: &http.Client{Transport: cfg.Transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			// Whoever can make the gate redirect would choose who answers, and get the key.
			return http.ErrUseLastResponse
		}},
	}, nil
}

// Close closes idle connections, unless the transport is the caller's. Close it after the middleware; what is asked afterwards is answered all
// the same. It always returns nil and may be called any number of times.
func (g *Gate) Close() error {
	g.closeIdle()
	return nil
}

// Validate reports every fault of the configuration at once.
func (c GateConfig) Validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("revocationhttp gate config: "+format, args...))
		}
	}
	errs = append(errs, c.checkURL())
	fault(len(c.Keys) == 0, "Keys is required: make a key with 'curfew keys create --scopes check', and give it under its tenant")
	for _, tenant := range slices.Sorted(maps.Keys(c.Keys)) {
		fault(events.TenantFault(tenant) != "", "Keys: %q isn't the name of a tenant: %s", tenant, events.TenantFault(tenant))
		fault(!c.Keys[tenant].usable(), "Keys: the key of tenant %q is empty, or holds what no key does, such as a space: give the key alone", tenant)
	}
	fault(c.Timeout < 0, "Timeout can't be negative: leave it zero for the default")
	fault(c.MaxConcurrent < 0, "MaxConcurrent can't be negative: leave it zero for the default")
	return errors.Join(errs...)
}

func (c GateConfig) checkURL() error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		// The parser's error quotes it.
		return errors.New("revocationhttp gate config: URL must be an absolute https URL without credentials, query or fragment")
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme == "http" && !loopback && !c.DangerouslyAllowHTTP {
		return errors.New("revocationhttp gate config: URL must be https; http is for loopback only, unless DangerouslyAllowHTTP says so")
	}
	return nil
}
