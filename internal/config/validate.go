package config

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/curfewhq/curfew/events"
)

// Validate reports every fault at once. It reads the file of redis.url_file.
func (c Config) Validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	errs = append(errs, c.listenFaults()...)
	for _, role := range c.Roles {
		fault(!slices.Contains(roles(), role), "roles: %q isn't one of publisher, gate, fanout, sessions, replay, audit", role)
	}
	fault(len(c.Roles) == 0, "roles: give at least one of publisher, gate, fanout, sessions, replay, audit")
	fault(c.NATS.URL == "" && c.DataDir == "", "data_dir: required for the embedded ledger")
	fault(c.NATS.URL == "" && c.NATS.Listen == "" && !c.Has(RolePublisher),
		"roles: without publisher nobody writes to the embedded ledger: set nats.url to that of the other processes, or add publisher")
	errs = append(errs, c.NATS.faults()...)
	fault(c.SnapshotInterval < 0 || c.SnapshotInterval > 0 && c.SnapshotInterval < time.Second, "snapshot_interval: must be at least 1s, or 0 to save none")
	fault(c.Ledger.SyncInterval < 0, "ledger.sync_interval: can't be negative; 0 syncs before each acknowledgement")
	fault(c.Ledger.MaxBytes < 0, "ledger.max_bytes: can't be negative; a ledger without a limit fills the disk")
	fault(c.Ledger.Replicas < 0 || c.Ledger.Replicas > 5, "ledger.replicas: use 1, 3 or 5")
	fault(c.Ledger.Replicas > 1 && c.NATS.URL == "", "ledger.replicas: the embedded server is alone: leave it out, or set nats.url")
	fault(c.Audit.File != "" && !c.Has(RoleAudit), "audit.file: only processes with the role audit write checkpoints: add the role, or leave it out")
	fault(c.Canary && !c.Has(RolePublisher), "canary: takes the role publisher, for it publishes: add the role, or set it at a process that has it")
	fault(c.CanaryInterval < 10*time.Second, "canary_interval: must be at least 10s: each round is an event of each tenant, which the ledger keeps like others")
	fault(c.MaxAge < time.Minute, "max_age: must be at least 1m; it can't be disabled, because without it no revocation could ever be forgotten")
	fault(c.StalenessBudget < time.Second, "staleness_budget: must be at least 1s; proof of less is older than it takes to bring it")
	fault(c.Ledger.BeatInterval < 250*time.Millisecond, "ledger.beat_interval: must be at least 250ms; each beat is a message of the ledger")
	fault(c.Ledger.BeatInterval > c.StalenessBudget/3,
		"ledger.beat_interval: %v is more than a third of staleness_budget (%v): a beat or two that come late would turn everybody away; beat more often, or allow more",
		c.Ledger.BeatInterval, c.StalenessBudget)
	fault(c.Retention() < c.MaxAge+Leeway, "ledger.retention: %v is shorter than max_age and leeway (%v): a session could outlive its revocation; lengthen it or leave it out",
		c.Retention(), c.MaxAge+Leeway)
	fault(c.Retention() < duplicateWindow, "ledger.retention: must be at least %v, within which repeated calls are recognised", duplicateWindow)
	// Zero would be taken for the default. Replicas believe no cutoff that lies 5 minutes ahead of the stream's clock, which ours may be ahead of.
	fault(c.ClockSkew < time.Millisecond || c.ClockSkew > 4*time.Minute, "clock_skew: must be between 1ms and 4m: replicas never apply a cutoff that lies 5m ahead")
	fault(c.Passes < 0 || c.Passes > 1<<26, "passes: must be between 0, which remembers no requests that passed, and 67108864, which takes 2 GiB")
	fault(c.Heartbeat < time.Second, "heartbeat: must be at least 1s")
	fault(c.MaxConns < 1, "max_conns: must be at least 1")
	fault(c.MaxConnsPerUser < -1 || c.MaxConnsPerUser == 0, "max_conns_per_user: must be at least 1, or -1 for no bound")
	fault(c.TabsBySession && len(c.JWT.Algorithms) == 0 && len(c.AuthJS.SecretFiles) == 0, "tabs_by_session: set jwt or authjs, which read the sessions, or leave it out")
	fault(c.TabsBySession && len(c.AllowedOrigins) == 0, "tabs_by_session: set allowed_origins, or no browser could connect: a cookie counts only with the Origin of a page of yours")
	fault(c.MaxConnAge < time.Minute, "max_conn_age: must be at least 1m, or tabs do nothing but come back")
	fault(c.DrainWindow < time.Millisecond, "drain_window: must be at least 1ms, which closes all conns at once")
	fault(c.LoginRate < 0, "login_rate: can't be negative; 0 sends all tabs to the sign-in page at once")
	errs = append(errs, c.Approval.faults()...)
	for _, o := range c.AllowedOrigins {
		fault(!isOrigin(o), "allowed_origins: %q isn't an origin as browsers send it: write scheme://host or scheme://host:port in lower case, no path, no wildcard, no default port", o)
	}
	fault(!slices.Contains([]string{"auto", "json", "text"}, c.LogFormat), "log_format: want auto, json or text")
	fault(!slices.Contains([]string{"error", "warning", "warn", "info", "debug", "trace"}, c.LogLevel), "log_level: want error, warning, info or debug")
	errs = append(errs, c.JWT.faults()...)
	errs = append(errs, c.AuthJS.faults()...)
	errs = append(errs, c.sessionsFaults()...)
	if _, err := c.Replay.Prefixes(); err != nil {
		errs = append(errs, err)
	}
	fault(!groupForm.MatchString(c.ReplicaGroup), "replica_group: must be 1 to 63 of a-z, 0-9 and -")
	errs = append(errs, c.consoleFaults()...)
	return errors.Join(errs...)
}

func (c Config) sessionsFaults() []error {
	var errs []error
	fault := func(bad bool, text string) {
		if bad {
			errs = append(errs, errors.New(text))
		}
	}
	q := c.Sessions
	fault(q.IdleTimeout < 0 || q.IdleTimeout > 0 && q.IdleTimeout < time.Second, "sessions.idle_timeout: must be at least 1s, or 0 for never; services gather touches for 15s")
	fault(q.IdleTimeout >= c.MaxAge, "sessions.idle_timeout: must be shorter than max_age, or 0 for never")
	fault(q.Notice < 0, "sessions.notice: can't be negative; 0 tells tabs nothing")
	fault(q.IdleTimeout > 0 && q.Notice >= q.IdleTimeout,
		fmt.Sprintf("sessions.notice: %s isn't shorter than sessions.idle_timeout (%s): give --sessions-notice %s, or 0 to tell tabs nothing", q.Notice, q.IdleTimeout, q.IdleTimeout/2))
	fault(q.MaxPerUser < 0 || q.MaxPerUser > maxSessions, fmt.Sprintf("sessions.max_per_user: must be between 1 and %d, or 0 for no bound", maxSessions))
	fault(q.IPv4Bits < 0 || q.IPv4Bits > 32, "sessions.ipv4_bits: must be between 0, which keeps no address, and 32, which keeps all of it")
	fault(q.IPv6Bits < 0 || q.IPv6Bits > 128, "sessions.ipv6_bits: must be between 0, which keeps no address, and 128, which keeps all of it")
	return append(errs, c.Redis.fault(c.KeepsSessions() || c.Has(RoleReplay)))
}

func (c Config) listenFaults() []error {
	var errs []error
	if !isAddress(c.Listen) {
		errs = append(errs, errors.New("listen: write host:port, such as 127.0.0.1:7080"))
	} else if !Loopback(c.Listen) && c.TLSCertFile == "" && !c.BehindProxy {
		errs = append(errs, fmt.Errorf("listen: %s is reachable from other machines, and API keys and tickets would travel in the clear: set tls_cert_file and tls_key_file, or behind_proxy if a proxy in front speaks TLS", c.Listen))
	}
	if c.AdminListen != "" && !isAddress(c.AdminListen) {
		errs = append(errs, errors.New("admin_listen: write host:port, such as 127.0.0.1:7081, or leave it empty for none"))
	} else if c.AdminListen != "" && !Loopback(c.AdminListen) && !c.BehindProxy {
		errs = append(errs, fmt.Errorf("admin_listen: %s is reachable from other machines, and health and metrics ask for no key and speak no TLS: listen on 127.0.0.1, leave it empty for none, or set behind_proxy if only a proxy or a private network reaches it", c.AdminListen))
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		errs = append(errs, errors.New("tls_cert_file, tls_key_file: give both or neither"))
	}
	return errs
}

func (n NATS) faults() []error {
	var errs []error
	if (n.CertFile == "") != (n.KeyFile == "") {
		errs = append(errs, errors.New("nats.cert_file, nats.key_file: give both or neither"))
	}
	if n.URL == "" && (n.CredsFile != "" || n.NKeyFile != "" || n.CAFile != "" || n.CertFile != "" || n.KeyFile != "") {
		errs = append(errs, errors.New("nats: creds_file, nkey_file, ca_file, cert_file and key_file are for an external NATS: set nats.url, or leave them out"))
	}
	if n.CredsFile != "" && n.NKeyFile != "" {
		errs = append(errs, errors.New("nats.creds_file, nats.nkey_file: give one of them"))
	}
	return append(errs, n.listenFaults()...)
}

func (n NATS) listenFaults() []error {
	var errs []error
	if (n.ListenUser == "") != (n.ListenPasswordFile == "") {
		errs = append(errs, errors.New("nats.listen_user, nats.listen_password_file: give both or neither"))
	}
	switch {
	case n.Listen == "" && (n.ListenUser != "" || n.ListenPasswordFile != ""):
		errs = append(errs, errors.New("nats.listen_user, nats.listen_password_file: are for nats.listen: set it, or leave them out"))
	case n.Listen == "":
	case n.URL != "":
		errs = append(errs, errors.New("nats.listen: is for the embedded server only; leave it out with nats.url"))
	case !isAddress(n.Listen):
		errs = append(errs, errors.New("nats.listen: write host:port, such as 127.0.0.1:4222"))
	case !Loopback(n.Listen) && (n.ListenUser == "" || n.ListenPasswordFile == ""):
		errs = append(errs, errors.New("nats.listen: whoever reaches the embedded server could forge the ledger: set nats.listen_user and nats.listen_password_file, listen on 127.0.0.1, or run a NATS of your own and set nats.url"))
	}
	return errs
}

// isAddress reports whether s is host:port with a port in digits.
func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func (j JWT) faults() []error {
	sources := 0
	for _, s := range []string{j.JWKSURL, j.JWKSFile, j.KeyFile} {
		if s != "" {
			sources++
		}
	}
	switch {
	case len(j.Algorithms) == 0 && sources > 0:
		return []error{errors.New("jwt.algorithms: name the algorithms that tokens may be signed with, such as RS256 or ES256")}
	case len(j.Algorithms) == 0:
		return nil
	}
	var errs []error
	if sources != 1 {
		errs = append(errs, errors.New("jwt: give exactly one of jwks_url, jwks_file and key_file"))
	}
	if fault := events.TenantFault(j.Tenant); fault != "" {
		errs = append(errs, errors.New("jwt.tenant: "+fault))
	}
	return errs
}

func (a AuthJS) faults() []error {
	if len(a.SecretFiles) == 0 {
		if a.Cookie+a.ClaimSession+a.ClaimUser+a.ClaimDevice+a.ClaimClient != "" {
			return []error{errors.New("authjs.secret_files: name the files with the secrets of Auth.js, or leave out what else is set of authjs")}
		}
		return nil
	}
	var errs []error
	if slices.Contains(a.SecretFiles, "") {
		errs = append(errs, errors.New("authjs.secret_files: the name of a file is empty"))
	}
	if a.Cookie != "" && (&http.Cookie{Name: a.Cookie, Value: "v"}).Valid() != nil {
		errs = append(errs, fmt.Errorf("authjs.cookie: %q can't be the name of a cookie", a.Cookie))
	}
	if fault := events.TenantFault(a.Tenant); fault != "" {
		errs = append(errs, errors.New("authjs.tenant: "+fault))
	}
	return errs
}

// Loopback reports whether an address can be reached from this machine only.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// isOrigin reports whether s is an origin in the one spelling that browsers send: requests' origins are compared with it as strings.
func isOrigin(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) {
		return false
	}
	defaultPort := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return defaultPort != "" && u.Port() != defaultPort && !strings.HasSuffix(u.Host, ":") && !strings.Contains(u.Host, "*") &&
		s == strings.ToLower(u.Scheme+"://"+u.Host)
}
