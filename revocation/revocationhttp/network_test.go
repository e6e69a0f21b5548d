package revocationhttp_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// network is a listener over pipes, which works inside of a bubble.
type network struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	dials  atomic.Int32
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

func (n *network) Addr() net.Addr { return &net.UnixAddr{Name: "network", Net: "unix"} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.dials.Add(1)
	here, there := net.Pipe()
	select {
	case n.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

// serveOver answers requests until the test ends, and returns the way to it.
func serveOver(t testing.TB, h http.Handler) (*network, http.RoundTripper) {
	t.Helper()
	n := &network{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// net/http sees that the client has gone only once the body has been read.
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		h.ServeHTTP(w, r)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(n) }()
	transport := &http.Transport{DialContext: n.dial, MaxIdleConnsPerHost: revocationhttp.DefaultMaxConcurrent}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		// It waits for the handlers, which the closing of their connections ends.
		_ = srv.Shutdown(context.Background())
		<-done
	})
	return n, transport
}

const keyText = "cfw_0123456789abcdef_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// newGate returns a gate that asks by way of transport; change may be nil.
func newGate(t testing.TB, transport http.RoundTripper, change func(*revocationhttp.GateConfig)) *revocationhttp.Gate {
	t.Helper()
	cfg := revocationhttp.GateConfig{
		URL: "http://localhost", Keys: map[string]revocationhttp.APIKey{"default": revocationhttp.NewAPIKey(keyText)}, Transport: transport,
	}
	if change != nil {
		change(&cfg)
	}
	gate, err := revocationhttp.NewGate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gate.Close() })
	return gate
}
