package config

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/curfewhq/curfew/events"
)

// Config of curfew serve.
type Config struct {
	// Listen is the address of the API and the tabs.
	Listen string `koanf:"listen"`
	// AdminListen is the address of /healthz, /readyz, /doctor and /metrics, which ask for no key and speak no TLS, and of the console. Empty means none.
	AdminListen string `koanf:"admin_listen"`
	// DataDir holds the embedded ledger, the first admin key and the snapshot.
	DataDir string `koanf:"data_dir"`
	// SnapshotFile is where this process keeps its replica's snapshot, to start from: "auto" is replica.snapshot in DataDir. Empty means none.
	SnapshotFile string `koanf:"snapshot_file"`
	// SnapshotInterval is how often snapshots are saved, by each process to SnapshotFile and by one of those that publish to NATS, if anything was applied
	// meanwhile. Zero means never; those that are there are still used.
	SnapshotInterval time.Duration `koanf:"snapshot_interval"`
	// Roles are the services that this process runs: publisher, gate, fanout, sessions, replay, audit.
	Roles []string `koanf:"roles"`
	// TLSCertFile and TLSKeyFile make Listen speak TLS.
	TLSCertFile string `koanf:"tls_cert_file"`
	TLSKeyFile  string `koanf:"tls_key_file"`
	// BehindProxy says that other machines reach Listen and AdminListen only through a proxy, which speaks TLS and keeps strangers from the
	// latter.
	BehindProxy bool `koanf:"behind_proxy"`

	NATS   NATS   `koanf:"nats"`
	Ledger Ledger `koanf:"ledger"`
	JWT    JWT    `koanf:"jwt"`
	AuthJS AuthJS `koanf:"authjs"`

	Audit Audit `koanf:"audit"`
	// Canary has a synthetic session of each tenant revoked each CanaryInterval, and all replicas and this gate asked when they refuse it.
	Canary         bool          `koanf:"canary"`
	CanaryInterval time.Duration `koanf:"canary_interval"`

	Sessions Sessions `koanf:"sessions"`
	Redis    Redis    `koanf:"redis"`
	Approval Approval `koanf:"approval"`
	Replay   Replay   `koanf:"replay"`

	// ReplicaGroup is the group of this process's replica, in reports and receipts, and by which a replay has it read the ledger anew.
	ReplicaGroup string `koanf:"replica_group"`

	Console Console `koanf:"console"`

	// MaxAge is the absolute age, from auth time, at which every session is over.
	MaxAge time.Duration `koanf:"max_age"`
	// StalenessBudget is how old the replica's proof may be: at least 1 s, and three beats.
	StalenessBudget time.Duration `koanf:"staleness_budget"`
	// ClockSkew is how far in the future a caller's cutoff may lie.
	ClockSkew time.Duration `koanf:"clock_skew"`
	// DangerouslyFailOpen passes undetermined callers of forward-auth.
	DangerouslyFailOpen bool `koanf:"dangerously_fail_open"`
	// Passes is how many requests that passed this process remembers, for curfew exposure: 32 bytes each. Zero remembers none.
	Passes int `koanf:"passes"`
	// AllowedOrigins are the origins from which browsers may open conns.
	AllowedOrigins []string `koanf:"allowed_origins"`
	// Heartbeat is how often an idle conn is pinged.
	Heartbeat time.Duration `koanf:"heartbeat"`
	// MaxConns bounds the tabs of this process; a tenth as many again, at most 450, may be on their way to becoming one.
	MaxConns int `koanf:"max_conns"`
	// MaxConnsPerUser bounds the tabs of one user at this process. -1 means no such bound.
	MaxConnsPerUser int `koanf:"max_conns_per_user"`
	// TabsBySession lets tabs connect by the session cookie or token that jwt and authjs read, without a ticket.
	TabsBySession bool `koanf:"tabs_by_session"`
	// MaxConnAge is how long a conn stays open at most, and a tenth less at least, before its tab is asked to come back with a new ticket: so that tabs spread over
	// gateways that came later.
	MaxConnAge time.Duration `koanf:"max_conn_age"`
	// DrainWindow is over how long conns are closed at shutdown. At least 1 ms, which closes them all at once.
	DrainWindow time.Duration `koanf:"drain_window"`
	// LoginRate is how many tabs a second this process sends to the sign-in page at most, where one revocation ends many. Zero sends all at once.
	LoginRate int `koanf:"login_rate"`

	LogFormat string `koanf:"log_format"`
	LogLevel  string `koanf:"log_level"`
}

// NATS says where the ledger lives.
type NATS struct {
	// URL of an external NATS. Empty runs an embedded server.
	URL       string `koanf:"url"`
	CredsFile string `koanf:"creds_file"`
	// NKeyFile is a file with an nkey seed, instead of CredsFile.
	NKeyFile string `koanf:"nkey_file"`
	CAFile   string `koanf:"ca_file"`
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"`
	// Listen opens the embedded server to other processes. Empty keeps it inside this one.
	Listen string `koanf:"listen"`
	// ListenUser and the password in ListenPasswordFile are asked of whoever connects to Listen. They are required beyond loopback; the link
	// isn't encrypted.
	ListenUser         string `koanf:"listen_user"`
	ListenPasswordFile string `koanf:"listen_password_file"`
}

// Ledger says how the stream is kept.
type Ledger struct {
	// SyncInterval is how often an embedded server writes to the disk. Zero means before each acknowledgement.
	SyncInterval time.Duration `koanf:"sync_interval"`
	Replicas     int           `koanf:"replicas"`
	// Retention is how long events are kept. Zero means max age, 5 minutes and a day.
	Retention time.Duration `koanf:"retention"`
	// MaxBytes of the stream. Zero means 4 GiB, or half of the free disk where that is less.
	MaxBytes int64 `koanf:"max_bytes"`
	// BeatInterval is how often the beat is written: at least 250 ms. All processes of a deployment should have the same.
	BeatInterval time.Duration `koanf:"beat_interval"`
}

// Sessions says how the registry of sessions works.
type Sessions struct {
	// IdleTimeout is after how long without anybody's being there a session ends. Zero means never.
	IdleTimeout time.Duration `koanf:"idle_timeout"`
	// Notice is how long before its end the tabs of a session are told. Zero tells them nothing.
	Notice time.Duration `koanf:"notice"`
	// MaxPerUser bounds the sessions of a user that go on at once, but for a few that are registered at the same time. Zero means no bound.
	MaxPerUser int `koanf:"max_per_user"`
	// IPv4Bits and IPv6Bits are how much of a session's address is kept. Zero keeps none.
	IPv4Bits int `koanf:"ipv4_bits"`
	IPv6Bits int `koanf:"ipv6_bits"`
}

// Audit says where checkpoints of the ledger are kept beside their stream.
type Audit struct {
	// File gets each checkpoint that this process makes, one on a line. Empty means none.
	File string `koanf:"file"`
}

// Replay says where replays may send events.
type Replay struct {
	// Folder is where files are written: "auto" is replays in DataDir. Empty allows none.
	Folder string `koanf:"folder"`
	// WebhookNetworks are the networks that webhooks may lie in, beside those that are public.
	WebhookNetworks []string `koanf:"webhook_networks"`
}

// JWT says how forward-auth verifies the callers' tokens. It is off while Algorithms is empty.
type JWT struct {
	Algorithms []string `koanf:"algorithms"`
	// JWKSURL, JWKSFile or KeyFile: exactly one. KeyFile is a PEM public key, or for HS256 to HS512 a secret of at least 32 bytes.
	JWKSURL  string `koanf:"jwks_url"`
	JWKSFile string `koanf:"jwks_file"`
	KeyFile  string `koanf:"key_file"`
	Issuer   string `koanf:"issuer"`
	// Audience is what aud must hold one of.
	Audience []string `koanf:"audience"`
	// Cookie is the name of a cookie that holds the token.
	Cookie string `koanf:"cookie"`
	Tenant string `koanf:"tenant"`
	// DangerouslyUseIssuedAt takes iat for the auth time.
	DangerouslyUseIssuedAt bool   `koanf:"dangerously_use_issued_at"`
	ClaimSession           string `koanf:"claim_session"`
	ClaimUser              string `koanf:"claim_user"`
	ClaimDevice            string `koanf:"claim_device"`
	ClaimClient            string `koanf:"claim_client"`
}

// AuthJS says how forward-auth reads the session cookies of Auth.js. It is off while SecretFiles is empty.
type AuthJS struct {
	// SecretFiles hold a secret of the application's Auth.js each, on one line: the newest first.
	SecretFiles []string `koanf:"secret_files"`
	// Cookie is the name of the cookie, without the number of a chunk. Empty looks for all of Auth.js's own names.
	Cookie       string `koanf:"cookie"`
	Tenant       string `koanf:"tenant"`
	ClaimSession string `koanf:"claim_session"`
	ClaimUser    string `koanf:"claim_user"`
	ClaimDevice  string `koanf:"claim_device"`
	ClaimClient  string `koanf:"claim_client"`
}

// Roles that a process can have.
const (
	RolePublisher = "publisher"
	RoleGate      = "gate"
	RoleFanout    = "fanout"
	RoleSessions  = "sessions"
	RoleReplay    = "replay"
	RoleAudit     = "audit"
)

// Leeway is how much longer than max age revocations are remembered.
const Leeway = 5 * time.Minute

// duplicateWindow is the stream's: it can't be longer than what the stream keeps.
const duplicateWindow = 10 * time.Minute

// Default returns the defaults.
func Default() Config {
	return Config{
		Listen: "127.0.0.1:7080", AdminListen: "127.0.0.1:7081", DataDir: "curfew-data", Roles: roles(),
		SnapshotFile: autoSnapshot, SnapshotInterval: 5 * time.Minute,
		CanaryInterval: time.Minute,
		Ledger:         Ledger{BeatInterval: time.Second},
		Sessions:       Sessions{Notice: time.Minute, MaxPerUser: maxSessions, IPv4Bits: 24, IPv6Bits: 48},
		Replay:         Replay{Folder: autoFolder, WebhookNetworks: []string{"127.0.0.0/8", "::1/128"}}, ReplicaGroup: "curfew",
		Console: Console{Enabled: autoConsole, Lifetime: 8 * time.Hour, IdleTimeout: 30 * time.Minute, OIDC: OIDC{Claim: "groups", Scopes: []string{"profile", "email"}}},
		JWT:     JWT{Tenant: "default"}, AuthJS: AuthJS{Tenant: "default"},
		MaxAge: 30 * 24 * time.Hour, StalenessBudget: 15 * time.Second, ClockSkew: 5 * time.Second, Heartbeat: 45 * time.Second,
		Passes: 1 << 16, MaxConns: 19_000, MaxConnsPerUser: 256, MaxConnAge: 24 * time.Hour, DrainWindow: 2 * time.Second, LoginRate: 500, LogFormat: "auto", LogLevel: "info",
	}
}

// maxSessions is how many sessions of a user the registry lists, and so counts.
const maxSessions = 1000

// autoSnapshot stands for a snapshot, and autoFolder for a folder, in the data folder.
const autoSnapshot, autoFolder = "auto", "auto"

// groupForm is the form of the name of a group of replicas.
var groupForm = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

// ReplayFolder returns where replays write files. Empty means nowhere.
func (c Config) ReplayFolder() string {
	switch {
	case c.Replay.Folder != autoFolder:
		return c.Replay.Folder
	case c.DataDir == "":
		return ""
	}
	return filepath.Join(c.DataDir, "replays")
}

// Prefixes returns WebhookNetworks. It reports all that it can't read at once.
func (r Replay) Prefixes() (list []netip.Prefix, err error) {
	for _, text := range r.WebhookNetworks {
		p, fault := netip.ParsePrefix(text)
		if fault != nil {
			err = errors.Join(err, fmt.Errorf("replay.webhook_networks: %q isn't a network such as 10.1.0.0/16 or fd00::/8", text))
			continue
		}
		list = append(list, p.Masked())
	}
	return list, err
}

// SnapshotPath returns where this process keeps its snapshot. Empty means that it keeps none.
func (c Config) SnapshotPath() string {
	switch {
	case c.SnapshotFile != autoSnapshot:
		return c.SnapshotFile
	case c.DataDir == "":
		return ""
	}
	return filepath.Join(c.DataDir, "replica.snapshot")
}

// SavesForAll reports whether this process is one of those of which one saves the snapshot that all may start from: those that publish, which need rights
// in NATS anyhow, and the one with the embedded ledger.
func (c Config) SavesForAll() bool {
	return c.SnapshotInterval > 0 && (c.NATS.URL == "" || c.Has(RolePublisher))
}

// Has reports whether the process has a role.
func (c Config) Has(role string) bool { return slices.Contains(c.Roles, role) }

// KeepsSessions reports whether a role of the process needs the store of sessions: sessions, or publisher, which does without if it has to.
func (c Config) KeepsSessions() bool { return c.Has(RoleSessions) || c.Has(RolePublisher) }

// Retention returns how long the ledger keeps events.
func (c Config) Retention() time.Duration {
	if c.Ledger.Retention != 0 {
		return c.Ledger.Retention
	}
	return c.MaxAge + Leeway + 24*time.Hour
}

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
	// Zero would be taken for the default.
	fault(c.ClockSkew < time.Millisecond || c.ClockSkew > time.Hour, "clock_skew: must be between 1ms and 1h")
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

// roles are all roles.
func roles() []string {
	return []string{RolePublisher, RoleGate, RoleFanout, RoleSessions, RoleReplay, RoleAudit}
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
