package bus

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
)

// Defaults of [Config].
const (
	defaultName            = "curfew"
	defaultRetention       = 31*24*time.Hour + 5*time.Minute
	defaultDuplicateWindow = 10 * time.Minute
	defaultMaxBytes        = 4 << 30
	defaultParkedBytes     = 1 << 30
	defaultSnapshotsBytes  = 1 << 30
	defaultPingInterval    = time.Second
	defaultPingsOut        = 2
	parkedRetention        = 90 * 24 * time.Hour
)

// Config says where the streams live and how they are kept. The zero value isn't usable: either URL or Embedded.Dir is needed.
type Config struct {
	// URL of the NATS servers: nats:// or tls://, several separated by commas. Empty runs a server inside this process.
	// It may carry a user and password; neither shows up in an error or a log.
	URL string
	// CredsFile is a NATS .creds file (JWT and seed). Only with URL.
	CredsFile string
	// NKeyFile is a file with an nkey seed. Only with URL, and not together with CredsFile.
	NKeyFile string
	// CAFile is the PEM file of the authorities that the server's certificate is checked against; empty means the system's.
	CAFile string
	// CertFile and KeyFile are the client's own certificate, for servers that ask for one. Both or neither.
	CertFile, KeyFile string
	// Name is shown for the connection by NATS. Empty means "curfew".
	Name string
	// Embedded configures the server inside this process. Ignored when URL is set.
	Embedded Embedded

	// Replicas of our streams. Zero means 1, for an external server too, because a single server refuses 3: set 3 for a
	// cluster, or a lost disk is a lost ledger.
	Replicas int
	// Retention is how long the ledger keeps an event. Zero means 31 days and 5 minutes: the longest session age (30 days),
	// the leeway for clocks, and a day. Shorter than the longest session age means that a session can outlive its revocation.
	Retention time.Duration
	// MaxBytes of the ledger, after which publishing fails with ErrFull. Zero means 4 GiB, or half of the free disk of an
	// embedded server where that is less; an existing ledger then keeps what it has.
	MaxBytes int64
	// DuplicateWindow within which a message id is stored once. Zero means 10 minutes. Each id costs about 120 bytes of the
	// server's memory for that long.
	DuplicateWindow time.Duration

	// PingInterval and MaxPingsOutstanding say how soon a dead link is noticed: when one ping more than that would be
	// unanswered. Zero means 1 s and 2, which is after about 3 s: before a cluster has elected another leader.
	PingInterval        time.Duration
	MaxPingsOutstanding int

	// Log receives what happens to the connection and what the embedded server says. Nil means nothing is logged.
	Log logrus.FieldLogger
}

// Embedded configures the NATS server inside this process.
type Embedded struct {
	// Dir holds the streams and is created with mode 0700. One process at a time may have it open.
	Dir string
	// ListenAddr, as host:port, lets other processes connect; port 0 picks one ([Bus.ClientURL] tells it). Empty means that
	// the server has no port at all.
	ListenAddr string
	// Username and Password are asked of whoever connects to ListenAddr. They are required unless the address is a loopback
	// one: anybody who may connect can revoke, and can forge the ledger. The link isn't encrypted: beyond one machine, run a NATS server
	// of your own.
	Username, Password string
	// SyncInterval is how much acknowledged history a power failure may cost. Zero means none: each message is synced to
	// disk before it is acknowledged (about 0.6 ms). A killed process loses nothing in either case.
	SyncInterval time.Duration
}

// Validate reports every fault at once. Open calls it.
func (c Config) Validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(c.Replicas < 0 || c.Replicas > 5, "replicas is %d: use 1, 3 or 5", c.Replicas)
	fault(c.Retention < 0, "retention is negative")
	fault(c.MaxBytes < 0, "max bytes is negative: a ledger without a limit fills the disk")
	fault(c.DuplicateWindow < 0, "duplicate window is negative")
	fault(c.PingInterval < 0 || c.MaxPingsOutstanding < 0, "ping interval and outstanding pings can't be negative: a dead link would never be noticed")
	if c.URL == "" {
		errs = append(errs, c.Embedded.faults()...)
		fault(c.Replicas > 1, "replicas is %d, but the embedded server is alone: use 1, or set a URL", c.Replicas)
		return errors.Join(errs...)
	}
	fault((c.CertFile == "") != (c.KeyFile == ""), "cert file and key file go together")
	fault(c.CredsFile != "" && c.NKeyFile != "", "creds file and nkey file exclude each other")
	for server := range strings.SplitSeq(c.URL, ",") {
		// url.Parse's own error repeats the URL, and with it the password.
		u, err := url.Parse(strings.TrimSpace(server))
		fault(err != nil || u.Host == "" || !knownScheme(u.Scheme), "URL has a part that isn't nats://host:port, tls://host:port or ws(s)://host:port")
	}
	return errors.Join(errs...)
}

func knownScheme(s string) bool {
	switch s {
	case "nats", "tls", "ws", "wss":
		return true
	}
	return false
}

func (e Embedded) faults() []error {
	var errs []error
	if e.Dir == "" {
		errs = append(errs, errors.New("neither a URL nor a folder for the embedded server is set"))
	}
	if e.SyncInterval < 0 {
		errs = append(errs, errors.New("sync interval is negative"))
	}
	if (e.Username == "") != (e.Password == "") {
		errs = append(errs, errors.New("username and password of the embedded server go together"))
	}
	if e.ListenAddr == "" {
		return errs
	}
	host, _, err := net.SplitHostPort(e.ListenAddr)
	if err != nil {
		return append(errs, fmt.Errorf("listen address %q isn't host:port", e.ListenAddr))
	}
	if e.Username == "" && !loopback(host) {
		errs = append(errs, fmt.Errorf("listen address %q can be reached by others without a password: set username and password, or listen on 127.0.0.1", e.ListenAddr))
	}
	return errs
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// withDefaults fills in everything but MaxBytes, which depends on the disk.
func (c Config) withDefaults() Config {
	setDefault(&c.Name, defaultName)
	setDefault(&c.Replicas, 1)
	setDefault(&c.Retention, defaultRetention)
	setDefault(&c.DuplicateWindow, defaultDuplicateWindow)
	setDefault(&c.PingInterval, defaultPingInterval)
	setDefault(&c.MaxPingsOutstanding, defaultPingsOut)
	if c.Log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		c.Log = silent
	}
	return c
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
