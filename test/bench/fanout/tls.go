package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
)

// selfSigned writes a certificate for loopback and its key, ECDSA on P-256.
func selfSigned(dir string) (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return "", "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	return certFile, keyFile, errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// tlsDialers is how many handshakes are under way at once.
const tlsDialers = 64

// dialTLS opens a conn over TLS for each ticket. They are to be closed by the caller, also after an error. Nobody reads from them afterwards.
func dialTLS(ctx context.Context, addr string, tickets []string) ([]*tabclient.Conn, error) {
	conns, errs := make([]*tabclient.Conn, len(tickets)), make([]error, tlsDialers)
	var dialing sync.WaitGroup
	for w := range tlsDialers {
		dialing.Go(func() {
			for i := w; i < len(tickets) && errs[w] == nil; i += tlsDialers {
				conns[i], errs[w] = dialOne(ctx, addr, tickets[i])
			}
		})
	}
	dialing.Wait()
	return conns, errors.Join(errs...)
}

func dialOne(ctx context.Context, addr, ticket string) (*tabclient.Conn, error) {
	d := ws.Dialer{
		Protocols: []string{tab.Subprotocol},
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}, //nolint:gosec // our own gateway on loopback, with a certificate of a moment ago
	}
	nc, early, _, err := d.Dial(ctx, "wss://"+addr+"/v1/connect")
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	c := tabclient.On(nc)
	if early != nil {
		return c, errors.New("the gateway spoke before hello")
	}
	if err := c.Hello(ticket); err != nil {
		return c, err
	}
	f, err := c.Next(ctx)
	if err == nil && f.Type != tab.TypeReady {
		err = fmt.Errorf("want ready, got %q", f.Type)
	}
	return c, err
}
