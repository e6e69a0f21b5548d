package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/services/canary"
)

// canaryLease is the key of the lease by which one process is elected to look.
const canaryLease = "canary"

// startCanary lets the process contend for revoking canaries, if it is told to. The API is there by then.
func (s *Server) startCanary(context.Context) error {
	if !s.cfg.Canary {
		return nil
	}
	stream := s.bus.Publisher()
	s.parts.Push("canary's publisher", func(context.Context) error { return stream.Close() })
	log, metrics := s.log.WithField(telemetry.FieldComponent, "canary"), canary.NewMetrics(s.reg)
	cfg := canary.Config{
		Publisher: stream, Tenants: s.tenants, Interval: s.cfg.CanaryInterval, Patience: min(canary.Patience, s.cfg.CanaryInterval*3/4), Leeway: config.Leeway, Metrics: metrics, Log: log,
		Ask: func(ctx context.Context, q replicas.Question, each func(replicas.Answer) bool) error {
			return replicas.AskEach(ctx, s.bus.Conn(), q, each)
		},
	}
	if s.replicas != nil {
		cfg.Applied = func(ctx context.Context, position uint64, began time.Time) (replicas.Progress, error) {
			return s.replicas.Await(ctx, replicas.Wanted{Stream: s.replica.Status().Made, Position: position, Asked: began, Stored: began})
		}
	}
	if s.cfg.Has(config.RoleGate) {
		client, err := s.selfClient()
		if err != nil {
			return err
		}
		s.parts.Push("canary's client", func(context.Context) error { client.CloseIdleConnections(); return nil })
		cfg.Check = func(ctx context.Context, q replicas.Question) (string, error) { return s.checkSelf(ctx, client, q) }
	}
	svc, err := canary.New(cfg)
	if err != nil {
		return err
	}
	s.elect(canaryLease, "who revokes canaries", log, func(ctx context.Context) {
		metrics.Elected.Set(1)
		defer metrics.Elected.Set(0)
		log.Info("this process revokes canaries from now on")
		defer log.Info("this process doesn't revoke canaries any more")
		svc.Run(ctx)
	})
	return nil
}

// tenants are those that have a live key, or the default one.
func (s *Server) tenants() []string {
	var tenants []string
	for _, key := range s.keys.List() {
		if key.RevokedAt.IsZero() && !slices.Contains(tenants, key.Tenant) {
			tenants = append(tenants, key.Tenant)
		}
	}
	if len(tenants) == 0 {
		return []string{events.DefaultTenant}
	}
	return tenants
}

// selfClient speaks to this process's own API, and trusts its own certificate alone.
func (s *Server) selfClient() (*http.Client, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: canary.MaxTenants, IdleConnTimeout: 20 * time.Second}
	if s.cfg.TLSCertFile != "" {
		pair, err := tls.LoadX509KeyPair(s.cfg.TLSCertFile, s.cfg.TLSKeyFile)
		if err != nil {
			return nil, fmt.Errorf("canary: %w", err)
		}
		own, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			return nil, fmt.Errorf("canary: %w", err)
		}
		trusted := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		trusted.RootCAs.AddCert(own)
		switch {
		case len(own.DNSNames) > 0:
			trusted.ServerName = own.DNSNames[0]
		case len(own.IPAddresses) > 0:
			trusted.ServerName = own.IPAddresses[0].String()
		}
		transport.TLSClientConfig = trusted
	}
	return &http.Client{Transport: transport, Timeout: 2 * time.Second}, nil
}

// checkSelf asks this process's own check call, with a key that no other process knows and that ends with the question.
func (s *Server) checkSelf(ctx context.Context, client *http.Client, q replicas.Question) (state string, err error) {
	text, remove, err := s.keys.Passing(access.Request{Name: "canary", Tenant: q.Tenant, Scopes: []access.Scope{access.ScopeCheck}})
	if err != nil {
		return "", err
	}
	defer remove()
	query := url.Values{"session": {q.Session}, "user": {q.User}, "auth_time": {q.AuthTime.UTC().Format(time.RFC3339Nano)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.scheme()+"://"+reachable(s.api.Addr())+"/v1/check?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+text.Reveal())
	resp, err := client.Do(req)
	if err != nil {
		var named *url.Error
		if errors.As(err, &named) {
			err = named.Err // without the URL, which names the session
		}
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", err
	}
	var answer struct {
		State string `json:"state"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.State == "" {
		return fmt.Sprintf("status %d", resp.StatusCode), nil
	}
	return answer.State, nil
}

// reachable is an address of this machine under which an address that is listened on can be reached.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}
