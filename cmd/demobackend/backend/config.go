package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// Config of the backend. All of it is required.
type Config struct {
	// NATSURL is where the ledger is; it may hold a password. New doesn't read it.
	NATSURL string
	// Key is what the application's server signs with: at least 32 bytes.
	Key []byte
	// Origin is that of the application's pages, such as http://localhost:3000.
	Origin string
	// Listen is an address, such as 127.0.0.1:7090. New doesn't read it.
	Listen string
}

// FromEnviron reads the configuration. getenv is os.Getenv. The error names every variable that is at fault, and quotes nothing but the path of a file.
func FromEnviron(getenv func(string) string) (Config, error) {
	cfg := Config{NATSURL: getenv("NATS_URL"), Origin: getenv("APP_ORIGIN"), Listen: getenv("BACKEND_LISTEN")}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:7090"
	}
	var errs []error
	if cfg.NATSURL == "" {
		errs = append(errs, errors.New("NATS_URL is required: 'curfew serve --nats-listen 127.0.0.1:4222' writes it to curfew-data/nats.url"))
	}
	if cfg.Origin == "" {
		errs = append(errs, errors.New("APP_ORIGIN is required: the origin of the application's pages, such as http://localhost:3000"))
	}
	b, err := os.ReadFile(getenv("BACKEND_KEY_FILE"))
	if getenv("BACKEND_KEY_FILE") == "" {
		errs = append(errs, errors.New("BACKEND_KEY_FILE is required: a file with at least 32 bytes, which 'openssl rand -hex 32' makes; the application's server has the same"))
	} else if err != nil {
		errs = append(errs, fmt.Errorf("BACKEND_KEY_FILE: %w", err))
	} else if cfg.Key = bytes.TrimRight(b, "\r\n"); len(cfg.Key) < 32 {
		errs = append(errs, errors.New("BACKEND_KEY_FILE must hold at least 32 bytes: 'openssl rand -hex 32' makes some"))
	}
	return cfg, errors.Join(errs...)
}

// Run serves until ctx ends. ready is told the address. What is under way then isn't waited for: the process ends with it.
func Run(ctx context.Context, cfg Config, ready func(url string)) error {
	nc, err := nats.Connect(cfg.NATSURL, revocationnats.Options("demobackend")...)
	var unreadable *url.Error
	switch {
	case errors.As(err, &unreadable):
		return errors.New("NATS_URL can't be read: write nats://user:password@host:port") // the parser's error quotes it
	case err != nil:
		return fmt.Errorf("connect to NATS: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	opening, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	replica, err := revocation.Open(opening, revocation.Config{Feed: revocationnats.NewFeed(js, revocationnats.Config{})})
	if err != nil {
		return err
	}
	defer func() { _ = replica.Close() }()
	b, err := New(cfg, replica)
	if err != nil {
		return err
	}
	defer b.Close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: b.Handler(), ReadHeaderTimeout: 10 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stopped()
	ready("http://" + listener.Addr().String())
	if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
