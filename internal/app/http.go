package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// HTTPConfig says how to listen.
type HTTPConfig struct {
	Addr string
	// Listener is served instead of binding Addr, if it isn't nil. It becomes the server's, which closes it.
	Listener net.Listener
	// CertFile and KeyFile are PEM and make it speak TLS 1.2 or later. Both or neither. They are read once.
	CertFile, KeyFile string
	// Front, if it isn't nil, takes connections of a listener for itself and returns one for the others. With a certificate, those that it gets are [*tls.Conn]s.
	Front   func(net.Listener) net.Listener
	Handler http.Handler
	Log     logrus.FieldLogger
}

// HTTP is a listener with its server.
type HTTP struct {
	server *http.Server
	addr   net.Addr
	failed chan error
	// served is closed when the goroutine that serves has ended.
	served chan struct{}
	// cancel ends the context of every request, so that streams without an end let the server go.
	cancel context.CancelFunc
}

// finishWithin is how long requests may go on after Stop, before their contexts end.
const finishWithin = time.Second

// ListenHTTP binds the address and serves in a goroutine until Stop. It returns when the address is bound and the certificate is read.
func ListenHTTP(cfg HTTPConfig) (*HTTP, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if cfg.CertFile != "" || cfg.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificate %q and its key %q: %w", cfg.CertFile, cfg.KeyFile, err)
		}
		tlsConfig.Certificates = []tls.Certificate{cert}
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := cfg.Listener
	if l == nil {
		var err error
		// The kernel's own keep-alives would wake every idle peer each 15 s: idle connections are closed after 30, and conns have heartbeats.
		listen := net.ListenConfig{KeepAlive: -1}
		if l, err = listen.Listen(ctx, "tcp", cfg.Addr); err != nil {
			cancel()
			return nil, fmt.Errorf("listen on %s: %w (another process may have it: choose another address)", cfg.Addr, err)
		}
	}
	w := cfg.Log.WithField(telemetry.FieldComponent, "http")
	h := &HTTP{addr: l.Addr(), failed: make(chan error, 1), served: make(chan struct{}), cancel: cancel, server: &http.Server{
		Handler: recovered(cfg.Handler, w), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: 30 * time.Second,
		// A caller that pipelines and never reads would keep its connection for ever. Streams set a deadline for each write.
		WriteTimeout:   40 * time.Second,
		MaxHeaderBytes: 32 << 10, BaseContext: func(net.Listener) context.Context { return ctx }, ErrorLog: log.New(logWriter{w}, "", 0),
		TLSConfig: tlsConfig,
		// A peer that is gone without a word is found out although nothing is sent to it.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}}
	if len(tlsConfig.Certificates) > 0 {
		l = tls.NewListener(l, tlsConfig)
	}
	if cfg.Front != nil {
		l = cfg.Front(l)
	}
	go func() {
		defer close(h.served)
		if err := h.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			h.failed <- err
		}
	}()
	return h, nil
}

// Addr is the bound address, with the port that the system chose for port 0.
func (h *HTTP) Addr() string { return h.addr.String() }

// Failed is sent the error of a server that ended by itself. Nothing is sent when it was stopped.
func (h *HTTP) Failed() <-chan error { return h.failed }

// Stop stops accepting and waits for the handlers. Requests have a second to finish; then their contexts end, for the sake of streams that
// don't. When ctx ends, the connections are closed, and handlers that go on are left behind. Hijacked connections are their owner's.
func (h *HTTP) Stop(ctx context.Context) error {
	defer h.cancel()
	defer time.AfterFunc(finishWithin, h.cancel).Stop()
	err := h.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, h.server.Close())
	}
	<-h.served
	return err
}

// logWriter takes the server's own complaints (bad TLS handshakes and the like) at debug level: anybody can cause them.
type logWriter struct{ log logrus.FieldLogger }

func (w logWriter) Write(p []byte) (int, error) {
	w.log.Debug(strings.TrimSpace(string(p)))
	return len(p), nil
}

// API answers what mux has no route for as a problem: 404, or 405 with the methods that there are.
func API(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
			other := r.WithContext(r.Context()) // a shallow copy
			other.Method = method
			if _, pattern := mux.Handler(other); pattern != "" {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			problem.New(http.StatusNotFound, "no_such_call", "There is no such call here: docs/openapi.yaml has all that there are, and a process answers those of its roles (--roles).").Write(w)
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		problem.New(http.StatusMethodNotAllowed, "method_not_allowed", "This call knows "+strings.Join(allowed, ", ")+".").Write(w)
	})
}
