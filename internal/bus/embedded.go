package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/telemetry"
)

const (
	// readyTimeout bounds the start of the embedded server where the caller's context doesn't: recovering a large store
	// after a crash takes seconds.
	readyTimeout    = time.Minute
	shutdownTimeout = 20 * time.Second
	// embeddedMaxPayload is far above an event (about 400 B) and leaves room for the headers of a parked one.
	embeddedMaxPayload = 1 << 20
)

// embedded is a NATS server inside this process, and the lock of its folder.
type embedded struct {
	srv  *server.Server
	lock *os.File
}

// startEmbedded locks the folder, starts the server and waits until it is ready. On an error nothing is left behind.
func startEmbedded(ctx context.Context, cfg Config) (*embedded, error) {
	dir := cfg.Embedded.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &Error{Op: "open store", Err: err, Hint: "create the folder, or name one that this user may create"}
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	e := &embedded{lock: lock}
	if e.srv, err = runServer(ctx, cfg); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func runServer(ctx context.Context, cfg Config) (*server.Server, error) {
	opts, err := serverOptions(cfg)
	if err != nil {
		return nil, err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, &Error{Op: "start embedded NATS", Err: err, Hint: "check the listen address and folder"}
	}
	said := &serverLog{log: cfg.Log.WithField(telemetry.FieldComponent, "nats-server")}
	srv.SetLoggerV2(said, false, false, false)
	srv.Start()
	if said.awaitReady(ctx, srv) {
		return srv, nil
	}
	srv.Shutdown()
	srv.WaitForShutdown()
	cause := errors.New("not ready in time")
	if fatal := said.fatal.Load(); fatal != nil {
		cause = errors.New(*fatal)
	}
	return nil, &Error{
		Op:   "start embedded NATS",
		Err:  fmt.Errorf("%s: %w", cfg.Embedded.Dir, cause),
		Hint: "look for a port in use, a full disk or a folder written by a newer version",
	}
}

// awaitReady reports whether the server became ready in time. A server that fails to start only says so in its log.
func (l *serverLog) awaitReady(ctx context.Context, srv *server.Server) bool {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for ctx.Err() == nil && l.fatal.Load() == nil {
		if srv.ReadyForConnections(50 * time.Millisecond) {
			return srv.JetStreamEnabled()
		}
	}
	return false
}

func serverOptions(cfg Config) (*server.Options, error) {
	e := cfg.Embedded
	opts := &server.Options{
		ServerName:             cfg.Name,
		StoreDir:               e.Dir,
		JetStream:              true,
		SyncAlways:             e.SyncInterval == 0,
		SyncInterval:           e.SyncInterval,
		MaxPayload:             embeddedMaxPayload,
		NoSigs:                 true,
		NoLog:                  true,
		DisableJetStreamBanner: true,
		DontListen:             e.ListenAddr == "",
		Username:               e.Username,
		Password:               e.Password,
	}
	if e.ListenAddr == "" {
		return opts, nil
	}
	host, port, err := net.SplitHostPort(e.ListenAddr)
	if err != nil {
		return nil, err
	}
	if opts.Host = host; host == "" {
		opts.Host = server.DEFAULT_HOST
	}
	if opts.Port, err = strconv.Atoi(port); err != nil {
		return nil, &Error{Op: "start embedded NATS", Err: fmt.Errorf("port %q: %w", port, err), Hint: "give the port as a number"}
	}
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	return opts, nil
}

// close stops the server, waits for it, and gives the folder back. It is bounded by shutdownTimeout; after that the lock is
// kept, because the server may still be writing.
func (e *embedded) close() error {
	if e.srv != nil {
		e.srv.Shutdown()
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			e.srv.WaitForShutdown()
		}()
		select {
		case <-stopped:
		case <-time.After(shutdownTimeout):
			return fmt.Errorf("the embedded NATS server didn't stop within %v; what was acknowledged is on disk", shutdownTimeout)
		}
	}
	return e.lock.Close()
}

// serverLog passes what the embedded server says to our log. Its notices are of no use to an operator of ours, so they
// become debug lines; its errors become warnings, because what they mean for a revocation is reported by whoever failed.
type serverLog struct {
	log   logrus.FieldLogger
	fatal atomic.Pointer[string]
}

func (l *serverLog) Noticef(format string, args ...any) { l.log.Debugf(format, args...) }
func (l *serverLog) Debugf(format string, args ...any)  { l.log.Debugf(format, args...) }
func (l *serverLog) Tracef(format string, args ...any)  { l.log.Debugf(format, args...) }
func (l *serverLog) Warnf(format string, args ...any)   { l.log.Warnf(format, args...) }
func (l *serverLog) Errorf(format string, args ...any)  { l.log.Warnf(format, args...) }

// Fatalf keeps the text for the error that Open returns, which is where it is reported.
func (l *serverLog) Fatalf(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	l.fatal.Store(&text)
	l.log.Debug(text)
}
