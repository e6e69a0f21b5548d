package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	minReconnectWait = 100 * time.Millisecond
	maxReconnectWait = 800 * time.Millisecond
	dialTimeout      = 2 * time.Second
)

// connect opens the one connection of a Bus. srv is nil for an external server.
func (b *Bus) connect(ctx context.Context, srv nats.InProcessConnProvider) (*nats.Conn, error) {
	opts, err := b.connOptions(ctx)
	if err != nil {
		return nil, err
	}
	url := b.cfg.URL
	if srv != nil {
		url = nats.DefaultURL // never dialled
		opts = append(opts, nats.InProcessServer(srv))
		if e := b.cfg.Embedded; e.Username != "" {
			opts = append(opts, nats.UserInfo(e.Username, e.Password))
		}
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, connectError(err)
	}
	return nc, nil
}

// connOptions differ from the defaults of nats.go in what matters here: a dead link is noticed in seconds instead of
// minutes, reconnecting never ends, and nothing is buffered meanwhile, so that a failed publish stays failed.
func (b *Bus) connOptions(ctx context.Context) ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name(b.cfg.Name),
		nats.Timeout(dialTimeoutFor(ctx, strings.Count(b.cfg.URL, ",")+1)),
		nats.PingInterval(b.cfg.PingInterval),
		nats.MaxPingsOutstanding(b.cfg.MaxPingsOutstanding),
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1),
		nats.RetryOnFailedConnect(false),
		// By default two refusals in a row end a connection for good; credentials do come back.
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(reconnectDelay),
		nats.DisconnectErrHandler(b.onDisconnect),
		nats.ReconnectHandler(b.onReconnect),
		nats.ErrorHandler(b.onAsyncError),
		nats.ClosedHandler(func(*nats.Conn) { close(b.connClosed) }),
	}
	if b.cfg.URL == "" {
		return opts, nil
	}
	if b.cfg.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(b.cfg.CredsFile))
	}
	if b.cfg.NKeyFile != "" {
		nkey, err := nats.NkeyOptionFromSeed(b.cfg.NKeyFile)
		if err != nil {
			return nil, &Error{Op: "read nkey file", Err: err, Hint: "the file must hold one seed, beginning with SU"}
		}
		opts = append(opts, nkey)
	}
	if b.cfg.CAFile != "" {
		opts = append(opts, nats.RootCAs(b.cfg.CAFile))
	}
	if b.cfg.CertFile != "" {
		opts = append(opts, nats.ClientCert(b.cfg.CertFile, b.cfg.KeyFile))
	}
	return opts, nil
}

// dialTimeoutFor shares what is left of ctx among the servers. nats.go dials them one after the other and takes no context.
func dialTimeoutFor(ctx context.Context, servers int) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return dialTimeout
	}
	share := time.Until(deadline) / time.Duration(servers)
	// The same timeout serves later reconnects, so it can't be arbitrarily short.
	return max(min(share, dialTimeout), 200*time.Millisecond)
}

// reconnectDelay doubles from 100 ms to 800 ms with each round over all servers, and takes a random half of it off, so that a
// fleet doesn't come back in step. No longer: whoever writes the beats is to be heard within a second of when there is a server again.
func reconnectDelay(attempts int) time.Duration {
	wait := minReconnectWait << min(max(attempts-1, 0), 5)
	wait = min(wait, maxReconnectWait)
	return wait/2 + rand.N(wait/2)
}

func connectError(err error) error {
	hint := "check the URL and that the server runs"
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		hint = "the server refused the credentials: check the creds or nkey file, or user and password"
	case errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted):
		hint = "server and URL disagree about TLS: use tls:// with a TLS server"
	case strings.Contains(err.Error(), "x509"), strings.Contains(err.Error(), "tls:"):
		// Only the hint depends on text; crypto/tls has no common error type.
		hint = "the TLS handshake failed: check the CA file and the host name in the URL"
	}
	return &Error{Op: "connect to NATS", Err: fmt.Errorf("%w: %w", ErrUnreachable, err), Hint: hint}
}

func (b *Bus) onDisconnect(_ *nats.Conn, err error) {
	if b.closing.Load() {
		return
	}
	b.stats.disconnects.Add(1)
	b.cfg.Log.WithError(err).Warn("NATS connection lost; reconnecting")
}

func (b *Bus) onReconnect(nc *nats.Conn) {
	b.stats.reconnects.Add(1)
	b.cfg.Log.WithField("server", nc.ConnectedServerName()).Info("NATS connection is back")
}

func (b *Bus) onAsyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	b.stats.asyncErrors.Add(1)
	log := b.cfg.Log.WithError(err)
	if sub != nil {
		log = log.WithField("topic", sub.Subject)
	}
	log.Warn("NATS reported an error")
}
