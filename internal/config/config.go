package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"time"
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

// roles are all roles.
func roles() []string {
	return []string{RolePublisher, RoleGate, RoleFanout, RoleSessions, RoleReplay, RoleAudit}
}
