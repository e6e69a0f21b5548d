package bus_test

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
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

func TestConfigFaultsAreReportedTogether(t *testing.T) {
	tests := []struct {
		name string
		cfg  bus.Config
		want []string
	}{
		{"nothing set", bus.Config{}, []string{"neither a URL nor a folder"}},
		{"several", bus.Config{Retention: -1, MaxBytes: -1, DuplicateWindow: -1, Replicas: 7}, []string{"retention", "max bytes", "duplicate window", "replicas", "folder"}},
		{"open to all", bus.Config{Embedded: bus.Embedded{Dir: "d", ListenAddr: "0.0.0.0:4222"}}, []string{"without a password"}},
		{"no host is open to all", bus.Config{Embedded: bus.Embedded{Dir: "d", ListenAddr: ":4222"}}, []string{"without a password"}},
		{"password without user", bus.Config{Embedded: bus.Embedded{Dir: "d", Password: "p"}}, []string{"go together"}},
		{"bad address", bus.Config{Embedded: bus.Embedded{Dir: "d", ListenAddr: "4222"}}, []string{"host:port"}},
		{"replicas embedded", bus.Config{Replicas: 3, Embedded: bus.Embedded{Dir: "d"}}, []string{"alone"}},
		{"bad URL", bus.Config{URL: "nats://ok:4222,http://u:hunter2@bad"}, []string{"nats://host:port"}},
		{"half a certificate", bus.Config{URL: "tls://h:1", CertFile: "c"}, []string{"cert file and key file"}},
		{"two credentials", bus.Config{URL: "tls://h:1", CredsFile: "c", NKeyFile: "n"}, []string{"exclude each other"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := bus.Open(t.Context(), tt.cfg)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v; want it to say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells a password: %v", err)
			}
		})
	}
	if err := (bus.Config{Embedded: bus.Embedded{Dir: "d", ListenAddr: "127.0.0.1:0"}}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestOpenUnreachable(t *testing.T) {
	srv := natstest.Start(t)
	url := "nats://someone:hunter2@" + srv.Addr()
	srv.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	start := time.Now()
	_, err := bus.Open(ctx, bus.Config{URL: url + "," + url})
	if !errors.Is(err, bus.ErrUnreachable) || time.Since(start) > 3*time.Second || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

func TestOpenWithoutJetStream(t *testing.T) {
	srv := natstest.Start(t, natstest.With(func(o *server.Options) { o.JetStream = false }))
	if _, err := bus.Open(t.Context(), bus.Config{URL: srv.URL()}); !errors.Is(err, bus.ErrNoJetStream) || !strings.Contains(err.Error(), "-js") {
		t.Errorf("got %v; want ErrNoJetStream", err)
	}
}

func TestOpenFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	b := natstest.Open(t, bus.Config{Embedded: bus.Embedded{Dir: dir}})
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
	if b.ClientURL() != "" {
		t.Errorf("a server without a port has the URL %q", b.ClientURL())
	}
	if _, err := bus.Open(t.Context(), bus.Config{Embedded: bus.Embedded{Dir: dir}}); !errors.Is(err, bus.ErrDirInUse) {
		t.Errorf("opened twice: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var told *bus.Error
	if _, err := bus.Open(t.Context(), bus.Config{Embedded: bus.Embedded{Dir: file}}); !errors.As(err, &told) {
		t.Errorf("a file as folder: %v", err)
	}
}

func TestOpenPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := natstest.Config(t)
	cfg.Embedded.ListenAddr = taken.Addr().String()
	var told *bus.Error
	if _, err := bus.Open(t.Context(), cfg); !errors.As(err, &told) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
	cfg.Embedded.ListenAddr = ""
	natstest.Open(t, cfg) // nothing was left behind
}

// TestEmbeddedWithPort lets a second Bus in, with the password and not without.
func TestEmbeddedWithPort(t *testing.T) {
	cfg := natstest.Config(t)
	cfg.Embedded.ListenAddr, cfg.Embedded.Username, cfg.Embedded.Password = "127.0.0.1:0", "curfew", "hunter2"
	b := natstest.Open(t, cfg)
	if _, err := bus.Open(t.Context(), bus.Config{URL: b.ClientURL()}); !errors.Is(err, bus.ErrUnreachable) || !strings.Contains(err.Error(), "refused the credentials") {
		t.Errorf("without the password: %v", err)
	}
	other := natstest.Open(t, bus.Config{URL: strings.Replace(b.ClientURL(), "//", "//curfew:hunter2@", 1)})
	ack := mustStore(t, other.Publisher(), newMessage("x"))
	if raw, err := b.EventAt(t.Context(), ack.Position); err != nil || string(raw.Data) != "x" {
		t.Errorf("event: %v, %v", raw, err)
	}
}

// TestExternalTLS connects to a server that asks for a client certificate, as the user in the URL and with an nkey.
func TestExternalTLS(t *testing.T) {
	pki := newPKI(t)
	user, seed := newNKey(t, nkeys.CreateUser)
	srv := natstest.Start(t, natstest.With(func(o *server.Options) {
		o.TLSConfig = pki.server
		o.Users = []*server.User{{Username: "ann", Password: "hunter2"}}
		o.Nkeys = []*server.NkeyUser{{Nkey: user}}
	}))
	tests := []struct {
		name string
		cfg  bus.Config
		ok   bool
	}{
		{"user and password", bus.Config{URL: "tls://ann:hunter2@" + srv.Addr(), CAFile: pki.caFile, CertFile: pki.certFile, KeyFile: pki.keyFile}, true},
		{"nkey", bus.Config{URL: "tls://" + srv.Addr(), CAFile: pki.caFile, CertFile: pki.certFile, KeyFile: pki.keyFile, NKeyFile: writeFile(t, "nkey", seed)}, true},
		{"wrong password", bus.Config{URL: "tls://ann:wrong@" + srv.Addr(), CAFile: pki.caFile, CertFile: pki.certFile, KeyFile: pki.keyFile}, false},
		{"unknown authority", bus.Config{URL: "tls://ann:hunter2@" + srv.Addr(), CertFile: pki.certFile, KeyFile: pki.keyFile}, false},
		{"no certificate", bus.Config{URL: "tls://ann:hunter2@" + srv.Addr(), CAFile: pki.caFile}, false},
		{"no credentials", bus.Config{URL: "tls://" + srv.Addr(), CAFile: pki.caFile, CertFile: pki.certFile, KeyFile: pki.keyFile}, false},
		{"not an nkey", bus.Config{URL: "tls://" + srv.Addr(), CAFile: pki.caFile, NKeyFile: pki.caFile}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.ok {
				mustStore(t, natstest.Open(t, tt.cfg).Publisher(), newMessage("x"))
				return
			}
			var told *bus.Error
			if _, err := bus.Open(t.Context(), tt.cfg); !errors.As(err, &told) || told.Hint == "" || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v; want an error with a hint", err)
			}
		})
	}
}

// TestExternalCreds connects with a .creds file to a server that trusts an operator.
func TestExternalCreds(t *testing.T) {
	operator, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	accountKey, _ := account.PublicKey()
	operatorKey, _ := operator.PublicKey()
	userKey, seed := newNKey(t, nkeys.CreateUser)
	claims := jwt.NewAccountClaims(accountKey)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	accountJWT, err := claims.Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	userJWT, err := jwt.NewUserClaims(userKey).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(userJWT, seed)
	if err != nil {
		t.Fatal(err)
	}
	system, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	systemKey, _ := system.PublicKey()
	systemJWT, err := jwt.NewAccountClaims(systemKey).Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	resolver := &server.MemAccResolver{}
	for key, token := range map[string]string{accountKey: accountJWT, systemKey: systemJWT} {
		if err := resolver.Store(key, token); err != nil {
			t.Fatal(err)
		}
	}
	srv := natstest.Start(t, natstest.With(func(o *server.Options) {
		o.TrustedKeys, o.AccountResolver, o.SystemAccount = []string{operatorKey}, resolver, systemKey
	}))
	b := natstest.Open(t, bus.Config{URL: srv.URL(), CredsFile: writeFile(t, "creds", creds)})
	mustStore(t, b.Publisher(), newMessage("x"))
	if _, err := bus.Open(t.Context(), bus.Config{URL: srv.URL()}); !errors.Is(err, bus.ErrUnreachable) {
		t.Errorf("without creds: %v", err)
	}
}

func newNKey(t *testing.T, create func() (nkeys.KeyPair, error)) (public string, seed []byte) {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	if seed, err = pair.Seed(); err != nil {
		t.Fatal(err)
	}
	return public, seed
}

func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pki is one self-signed certificate for server and client.
type pki struct {
	server                    *tls.Config
	caFile, certFile, keyFile string
}

func newPKI(t *testing.T) pki {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "natstest"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	pair, err := tls.X509KeyPair(cert, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pki{
		server: &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12},
		caFile: writeFile(t, "ca.pem", cert), certFile: writeFile(t, "cert.pem", cert), keyFile: writeFile(t, "key.pem", keyPEM),
	}
}
