package console

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/singleflight"
)

const (
	// providerTimeout bounds each call to the provider.
	providerTimeout = 10 * time.Second
	// askProviderAgain is how long after the provider couldn't be read it is asked anew.
	askProviderAgain = 2 * time.Second
)

// provider speaks to an OpenID provider. What it publishes of itself is read when somebody first wants to sign in: that it is away then costs nobody else anything. Close it.
type provider struct {
	cfg    OIDC
	client *http.Client
	// patience bounds the reading, and stopped ends it.
	patience time.Duration
	stopped  context.Context
	stop     context.CancelFunc
	// reading lets all who come while the provider is read wait for one answer.
	reading singleflight.Group

	mu sync.Mutex
	// found is nil until the provider has been read.
	found *oidc.Provider
	// failed is why it couldn't be read, which stands until failedUntil.
	failed      error
	failedUntil time.Time
}

func newProvider(cfg OIDC) *provider {
	p := &provider{cfg: cfg, patience: providerTimeout, client: &http.Client{
		Timeout: providerTimeout, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 4, IdleConnTimeout: 30 * time.Second},
	}}
	p.stopped, p.stop = context.WithCancel(context.Background())
	return p
}

// close ends the reading, and returns when it has ended. It may be called more than once.
func (p *provider) close() {
	p.stop()
	_, _, _ = p.reading.Do("", p.read) // waits for the one that is under way; another ends at once
}

// discover returns the provider's metadata. It waits for as long as the reading takes, or until ctx ends, and returns errProvider.
func (p *provider) discover(ctx context.Context) (*oidc.Provider, error) {
	if found, err := p.known(); found != nil || err != nil {
		return found, err
	}
	select {
	case r := <-p.reading.DoChan("", p.read):
		if r.Err != nil {
			return nil, r.Err
		}
		return p.known()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", errProvider, ctx.Err())
	}
}

// known returns what was read, or why that failed a moment ago; neither says that nobody knows.
func (p *provider) known() (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil && time.Now().Before(p.failedUntil) {
		return nil, p.failed
	}
	return p.found, nil
}

// read asks the provider, once for all who wait: none of their contexts ends it.
func (p *provider) read() (any, error) {
	// Who saw nothing known may have come here only when another's reading had ended.
	if found, err := p.known(); found != nil || err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(p.stopped, p.patience)
	defer cancel()
	// Its keys are fetched by the same client, and without this context.
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.cfg.Issuer)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed, p.failedUntil = fmt.Errorf("%w: %w", errProvider, err), time.Now().Add(askProviderAgain)
		return nil, p.failed
	}
	p.found = found
	return nil, nil
}
