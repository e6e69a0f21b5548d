package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// HTTPConfig says how to listen.
type HTTPConfig struct {
	Addr string
	// CertFile and KeyFile make it speak TLS 1.2 or later. Both or neither.
	CertFile, KeyFile string
	Handler           http.Handler
	Log               logrus.FieldLogger
}

// HTTP is a listener with its server.
type HTTP struct {
	server *http.Server
	addr   net.Addr
	served chan error
	// cancel ends the context of every request, so that streams without an end let the server go.
	cancel context.CancelFunc
}

// ListenHTTP binds the address and serves in a goroutine until Stop. It returns when the address is bound.
func ListenHTTP(cfg HTTPConfig) (*HTTP, error) {
	l, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w (another process may have it: choose another address)", cfg.Addr, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := cfg.Log.WithField(telemetry.FieldComponent, "http")
	h := &HTTP{addr: l.Addr(), served: make(chan error, 1), cancel: cancel, server: &http.Server{
		Handler: recovered(cfg.Handler, w), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 32 << 10, BaseContext: func(net.Listener) context.Context { return ctx }, ErrorLog: log.New(logWriter{w}, "", 0),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}}
	// WebSocket needs HTTP/1.1: a browser opens it with an upgrade.
	go func() {
		if cfg.CertFile != "" {
			h.served <- h.server.ServeTLS(l, cfg.CertFile, cfg.KeyFile)
			return
		}
		h.served <- h.server.Serve(l)
	}()
	return h, nil
}

// Addr is the bound address, with the port that the system chose for port 0.
func (h *HTTP) Addr() string { return h.addr.String() }

// Failed is sent the error of a server that ended by itself.
func (h *HTTP) Failed() <-chan error { return h.served }

// Stop stops accepting, ends the requests' contexts and waits for the handlers. Hijacked connections are their owner's.
func (h *HTTP) Stop(ctx context.Context) error {
	h.cancel()
	err := h.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, h.server.Close())
	}
	return err
}

// logWriter takes the server's own complaints (bad TLS handshakes and the like) at debug level: anybody can cause them.
type logWriter struct{ log logrus.FieldLogger }

func (w logWriter) Write(p []byte) (int, error) {
	w.log.Debug(strings.TrimSpace(string(p)))
	return len(p), nil
}

// recovered turns a panic into a 500 and an error line, and keeps the process alive.
func recovered(next http.Handler, log logrus.FieldLogger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			log.WithField("panic", fmt.Sprint(p)).WithField("stack", string(debug.Stack())).Error("a handler panicked")
			problem.New(http.StatusInternalServerError, "internal_error", "Something broke inside; the server's log tells what.").Write(w)
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// API answers what mux has no route for as a problem: 404, or 405 with the methods that there are.
func API(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			other := r.Clone(r.Context())
			other.Method = method
			if _, pattern := mux.Handler(other); pattern != "" {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			problem.New(http.StatusNotFound, "no_such_call", "There is no such call: see docs/openapi.yaml.").Write(w)
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		problem.New(http.StatusMethodNotAllowed, "method_not_allowed", "This call knows "+strings.Join(allowed, ", ")+".").Write(w)
	})
}
