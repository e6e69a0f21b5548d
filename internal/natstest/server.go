package natstest

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const readyTimeout = 20 * time.Second

// Option changes how a server is run.
type Option func(*server.Options)

// InProcess leaves the server without a port: connect with nats.InProcessServer.
func InProcess() Option { return func(o *server.Options) { o.DontListen = true } }

// With changes any other option of the server, as users or TLS.
func With(change func(*server.Options)) Option { return change }

// Run starts a server with JetStream that is shut down when the test ends. By default it listens on a free port of
// 127.0.0.1 and keeps its streams in the test's temporary folder.
func Run(t testing.TB, opts ...Option) *server.Server {
	t.Helper()
	return Start(t, opts...).Server()
}

// Server is a server that can be stopped and restarted on the same folder and port. It is not safe for concurrent use.
type Server struct {
	t    testing.TB
	opts server.Options
	srv  *server.Server // nil while stopped
}

// Start is Run for tests that restart the server.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := &Server{t: t, opts: server.Options{
		ServerName:             "natstest",
		Host:                   "127.0.0.1",
		Port:                   server.RANDOM_PORT,
		JetStream:              true,
		StoreDir:               t.TempDir(),
		NoLog:                  true,
		NoSigs:                 true,
		DisableJetStreamBanner: true,
	}}
	for _, opt := range opts {
		opt(&s.opts)
	}
	t.Cleanup(s.Stop)
	s.Restart()
	return s
}

// Restart stops the server if it runs, and starts it with the same folder and port. It returns when the server is ready.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	opts := s.opts // the server keeps and changes what it is given
	srv, err := server.NewServer(&opts)
	if err != nil {
		s.t.Fatalf("new NATS server: %v", err)
	}
	srv.Start()
	s.srv = srv
	if !srv.ReadyForConnections(readyTimeout) {
		s.t.Fatalf("NATS server not ready within %v", readyTimeout)
	}
	if addr, ok := srv.Addr().(*net.TCPAddr); ok {
		s.opts.Port = addr.Port
	}
}

// Stop shuts the server down and waits for it. What it acknowledged stays in its folder. It is idempotent.
func (s *Server) Stop() {
	if s.srv == nil {
		return
	}
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
	s.srv = nil
}

// Server is the running server; nil while stopped.
func (s *Server) Server() *server.Server { return s.srv }

// Addr is host:port, also while stopped. It is empty for a server without a port.
func (s *Server) Addr() string {
	if s.opts.DontListen {
		return ""
	}
	return net.JoinHostPort(s.opts.Host, strconv.Itoa(s.opts.Port))
}

// URL is the nats:// URL of Addr.
func (s *Server) URL() string { return "nats://" + s.Addr() }
