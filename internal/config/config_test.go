package config_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/config"
)

func TestDefaultIsValid(t *testing.T) {
	if err := config.Default().Validate(); err != nil {
		t.Error(err)
	}
	if c := config.Default(); !c.Has(config.RoleGate) || c.Has("console") {
		t.Errorf("roles: %v", c.Roles)
	}
}

func TestValidate(t *testing.T) {
	const reachable, form = "is reachable from other machines", "write host:port"
	listen := func(addr string) func(*config.Config) { return func(c *config.Config) { c.Listen = addr } }
	tests := []struct {
		name   string
		change func(*config.Config)
		// want is what the error must say, or "" for none.
		want string
	}{
		{name: "loopback", change: listen("127.0.0.1:0")},
		{name: "all of loopback", change: listen("127.9.9.9:7080")},
		{name: "IPv6 loopback", change: listen("[::1]:7080")},
		{name: "localhost", change: listen("localhost:7080")},
		{name: "all of IPv4", change: listen("0.0.0.0:7080"), want: reachable},
		{name: "all of IPv6", change: listen("[::]:7080"), want: reachable},
		{name: "everything", change: listen(":7080"), want: reachable},
		{name: "an IPv4 address", change: listen("192.0.2.1:7080"), want: reachable},
		{name: "an IPv6 address", change: listen("[2001:db8::1]:7080"), want: reachable},
		{name: "a name", change: listen("curfew.internal:7080"), want: reachable},
		{name: "a name that begins like loopback", change: listen("127.0.0.1.evil.example:7080"), want: reachable},
		{name: "a name that begins like localhost", change: listen("localhost.evil.example:7080"), want: reachable},
		{name: "no port", change: listen("127.0.0.1"), want: form},
		{name: "a port that is none", change: listen("127.0.0.1:http"), want: form},
		{name: "a port too high", change: listen("127.0.0.1:65536"), want: form},
		{name: "empty", change: listen(""), want: form},
		{name: "behind a proxy", change: func(c *config.Config) { c.Listen, c.BehindProxy = ":7080", true }},
		{name: "TLS", change: func(c *config.Config) { c.Listen, c.TLSCertFile, c.TLSKeyFile = ":7080", "c", "k" }},
		{name: "half of TLS", change: func(c *config.Config) { c.TLSKeyFile = "k" }, want: "tls_cert_file, tls_key_file: give both"},
		{name: "no admin listener", change: func(c *config.Config) { c.AdminListen = "" }},
		{name: "a bad admin listener", change: func(c *config.Config) { c.AdminListen = "x" }, want: "admin_listen: " + form},

		{name: "an open admin listener", change: func(c *config.Config) { c.AdminListen = "0.0.0.0:7081" }, want: "admin_listen: 0.0.0.0:7081 " + reachable},
		{name: "an open admin listener of a name", change: func(c *config.Config) { c.AdminListen = "curfew.internal:7081" }, want: "or set behind_proxy"},
		// The certificate is listen's.
		{name: "an open admin listener with TLS", change: func(c *config.Config) { c.AdminListen, c.TLSCertFile, c.TLSKeyFile = ":7081", "c", "k" }, want: "admin_listen: :7081 " + reachable},
		{name: "an admin listener behind a proxy", change: func(c *config.Config) { c.AdminListen, c.BehindProxy = "0.0.0.0:7081", true }},
		{name: "an admin listener on loopback", change: func(c *config.Config) { c.AdminListen = "[::1]:7081" }},

		{name: "a canary", change: func(c *config.Config) { c.Canary, c.CanaryInterval = true, 10*time.Second }},
		{name: "a canary too often", change: func(c *config.Config) { c.CanaryInterval = 9 * time.Second }, want: "canary_interval: must be at least 10s"},
		{name: "a canary without a publisher", change: func(c *config.Config) {
			c.Canary, c.Roles, c.NATS.URL = true, []string{config.RoleGate}, "nats://a:4222"
		}, want: "canary: takes the role publisher"},
		{name: "a file of checkpoints", change: func(c *config.Config) { c.Audit.File = "f" }},
		{name: "a file of checkpoints without any", change: func(c *config.Config) { c.Audit.File, c.Roles = "f", []string{config.RolePublisher} }, want: "audit.file: only processes with the role audit"},
		{name: "networks of webhooks", change: func(c *config.Config) { c.Replay.WebhookNetworks = []string{"10.1.2.3/16", "fd00::/8"} }},
		{name: "no networks of webhooks", change: func(c *config.Config) { c.Replay.WebhookNetworks = nil }},
		{name: "a network without bits", change: func(c *config.Config) { c.Replay.WebhookNetworks = []string{"10.1.2.3"} }, want: `replay.webhook_networks: "10.1.2.3" isn't a network`},
		{name: "no group of replicas", change: func(c *config.Config) { c.ReplicaGroup = "" }, want: "replica_group: must be"},
		{name: "a group that can't be", change: func(c *config.Config) { c.ReplicaGroup = "Blue" }, want: "replica_group: must be"},
		{name: "no passes", change: func(c *config.Config) { c.Passes = 0 }},
		{name: "fewer passes than none", change: func(c *config.Config) { c.Passes = -1 }, want: "passes: must be between 0"},
		{name: "passes of all memory", change: func(c *config.Config) { c.Passes = 1 << 27 }, want: "passes: must be between 0"},

		{name: "retention as long as it must be", change: func(c *config.Config) { c.Ledger.Retention = c.MaxAge + config.Leeway }},
		{name: "retention shorter than max age", change: func(c *config.Config) { c.Ledger.Retention = 24 * time.Hour },
			want: "ledger.retention: 24h0m0s is shorter than max_age and leeway (720h5m0s): a session could outlive its revocation; lengthen it or leave it out"},
		{name: "max age longer than retention", change: func(c *config.Config) { c.Ledger.Retention, c.MaxAge = 721*time.Hour, 8760*time.Hour }, want: "ledger.retention: 721h0m0s is shorter"},
		{name: "retention negative", change: func(c *config.Config) { c.Ledger.Retention = -1 }, want: "ledger.retention"},
		{name: "retention within the duplicate window", change: func(c *config.Config) { c.MaxAge, c.Ledger.Retention = time.Minute, 6*time.Minute }, want: "ledger.retention: must be at least 10m0s"},
		{name: "no max age", change: func(c *config.Config) { c.MaxAge = 0 }, want: "max_age: must be at least 1m"},
		{name: "no budget", change: func(c *config.Config) { c.StalenessBudget = 0 }, want: "staleness_budget"},
		{name: "beats too rare for the budget", change: func(c *config.Config) { c.Ledger.BeatInterval = 6 * time.Second },
			want: "ledger.beat_interval: 6s is more than a third of staleness_budget (15s)"},
		{name: "the shortest budget and beat", change: func(c *config.Config) { c.StalenessBudget, c.Ledger.BeatInterval = time.Second, 250*time.Millisecond }},
		{name: "a budget of just three beats", change: func(c *config.Config) { c.StalenessBudget, c.Ledger.BeatInterval = 3*time.Second, time.Second }},
		{name: "a budget of hardly three beats", change: func(c *config.Config) { c.StalenessBudget = 3*time.Second - 1 }, want: "ledger.beat_interval: 1s is more than a third"},
		{name: "a shorter budget", change: func(c *config.Config) { c.StalenessBudget, c.Ledger.BeatInterval = time.Second-1, 250*time.Millisecond },
			want: "staleness_budget: must be at least 1s"},
		{name: "a shorter beat", change: func(c *config.Config) { c.Ledger.BeatInterval = 250*time.Millisecond - 1 }, want: "ledger.beat_interval: must be at least 250ms"},
		{name: "negative sync", change: func(c *config.Config) { c.Ledger.SyncInterval = -1 }, want: "ledger.sync_interval"},
		{name: "negative size", change: func(c *config.Config) { c.Ledger.MaxBytes = -1 }, want: "ledger.max_bytes"},
		{name: "copies without a cluster", change: func(c *config.Config) { c.Ledger.Replicas = 3 }, want: "set nats.url"},
		{name: "copies in a cluster", change: func(c *config.Config) { c.Ledger.Replicas, c.NATS.URL = 3, "nats://a" }},
		{name: "too many copies", change: func(c *config.Config) { c.Ledger.Replicas, c.NATS.URL = 7, "nats://a" }, want: "use 1, 3 or 5"},
		{name: "no snapshots", change: func(c *config.Config) { c.SnapshotFile, c.SnapshotInterval = "", 0 }},
		{name: "snapshots each second", change: func(c *config.Config) { c.SnapshotInterval = time.Second }},
		{name: "snapshots all the time", change: func(c *config.Config) { c.SnapshotInterval = time.Millisecond }, want: "snapshot_interval: must be at least 1s"},
		{name: "negative snapshots", change: func(c *config.Config) { c.SnapshotInterval = -1 }, want: "snapshot_interval"},
		{name: "no clock skew", change: func(c *config.Config) { c.ClockSkew = 0 }, want: "clock_skew"},
		{name: "much clock skew", change: func(c *config.Config) { c.ClockSkew = 4 * time.Minute }},
		{name: "more clock skew than replicas believe", change: func(c *config.Config) { c.ClockSkew = 5 * time.Minute }, want: "clock_skew"},
		{name: "no roles", change: func(c *config.Config) { c.Roles = nil }, want: "roles: give at least one"},
		{name: "nobody writes", change: func(c *config.Config) { c.Roles = []string{"fanout"} }, want: "roles: without publisher nobody writes"},
		{name: "unknown role", change: func(c *config.Config) { c.Roles = []string{"gate", "king"} }, want: `roles: "king"`},
		{name: "no folder", change: func(c *config.Config) { c.DataDir = "" }, want: "data_dir"},
		{name: "no folder with an external NATS", change: func(c *config.Config) { c.DataDir, c.NATS.URL = "", "nats://a" }},
		{name: "credentials for nobody", change: func(c *config.Config) { c.NATS.CredsFile = "f" }, want: "set nats.url, or leave them out"},
		{name: "half a certificate", change: func(c *config.Config) { c.NATS.URL, c.NATS.CertFile = "nats://a", "f" }, want: "nats.cert_file, nats.key_file"},
		{name: "an open embedded server", change: func(c *config.Config) { c.NATS.Listen = ":4222" }, want: "could forge the ledger"},
		{name: "an open embedded server with half a password", change: func(c *config.Config) { c.NATS.Listen, c.NATS.ListenUser = ":4222", "u" }, want: "give both or neither"},
		{name: "an open embedded server with a password", change: func(c *config.Config) {
			c.NATS.Listen, c.NATS.ListenUser, c.NATS.ListenPasswordFile = ":4222", "u", "f"
		}},
		{name: "a password on loopback", change: func(c *config.Config) {
			c.NATS.Listen, c.NATS.ListenUser, c.NATS.ListenPasswordFile = "127.0.0.1:4222", "u", "f"
		}},
		{name: "a password for nobody", change: func(c *config.Config) { c.NATS.ListenUser, c.NATS.ListenPasswordFile = "u", "f" }, want: "are for nats.listen"},
		{name: "an nkey for nobody", change: func(c *config.Config) { c.NATS.NKeyFile = "f" }, want: "set nats.url, or leave them out"},
		{name: "an nkey", change: func(c *config.Config) { c.NATS.URL, c.NATS.NKeyFile = "nats://a", "f" }},
		{name: "two kinds of credentials", change: func(c *config.Config) { c.NATS.URL, c.NATS.NKeyFile, c.NATS.CredsFile = "nats://a", "f", "g" }, want: "give one of them"},
		{name: "an embedded server on loopback", change: func(c *config.Config) { c.NATS.Listen = "127.0.0.1:4222" }},
		{name: "both kinds of server", change: func(c *config.Config) { c.NATS.URL, c.NATS.Listen = "nats://a", "127.0.0.1:4222" }, want: "nats.listen"},
		{name: "no algorithms", change: func(c *config.Config) { c.JWT.KeyFile = "k" }, want: "jwt.algorithms"},
		{name: "no keys", change: func(c *config.Config) { c.JWT.Algorithms = []string{"RS256"} }, want: "exactly one"},
		{name: "two keys", change: func(c *config.Config) { c.JWT.Algorithms, c.JWT.KeyFile, c.JWT.JWKSURL = []string{"RS256"}, "k", "u" }, want: "exactly one"},
		{name: "a tenant that is none", change: func(c *config.Config) { c.JWT.Algorithms, c.JWT.KeyFile, c.JWT.Tenant = []string{"RS256"}, "k", "*" }, want: "jwt.tenant"},
		{name: "secrets of Auth.js", change: func(c *config.Config) { c.AuthJS.SecretFiles, c.AuthJS.Cookie = []string{"a", "b"}, "shop-session" }},
		{name: "a cookie without secrets", change: func(c *config.Config) { c.AuthJS.Cookie = "shop-session" }, want: "authjs.secret_files: name"},
		{name: "a claim without secrets", change: func(c *config.Config) { c.AuthJS.ClaimUser = "uid" }, want: "authjs.secret_files: name"},
		{name: "a secret in no file", change: func(c *config.Config) { c.AuthJS.SecretFiles = []string{"a", ""} }, want: "authjs.secret_files: the name"},
		{name: "a cookie that is none", change: func(c *config.Config) { c.AuthJS.SecretFiles, c.AuthJS.Cookie = []string{"a"}, "a b" }, want: "authjs.cookie"},
		{name: "a tenant of cookies that is none", change: func(c *config.Config) { c.AuthJS.SecretFiles, c.AuthJS.Tenant = []string{"a"}, "*" }, want: "authjs.tenant"},
		{name: "tokens and cookies", change: func(c *config.Config) {
			c.JWT.Algorithms, c.JWT.KeyFile, c.AuthJS.SecretFiles = []string{"RS256"}, "k", []string{"a"}
		}},
		{name: "no heartbeat", change: func(c *config.Config) { c.Heartbeat = 0 }, want: "heartbeat"},
		{name: "no conns of a user", change: func(c *config.Config) { c.MaxConnsPerUser = 0 }, want: "max_conns_per_user"},
		{name: "tabs by nothing", change: func(c *config.Config) { c.TabsBySession = true }, want: "tabs_by_session"},
		{name: "one session of a user", change: func(c *config.Config) { c.Sessions.MaxPerUser = 1 }},
		{name: "any number of sessions", change: func(c *config.Config) { c.Sessions.MaxPerUser = 0 }},
		{name: "more sessions than are counted", change: func(c *config.Config) { c.Sessions.MaxPerUser = 1001 }, want: "sessions.max_per_user: must be between 1 and 1000, or 0"},
		{name: "fewer sessions than none", change: func(c *config.Config) { c.Sessions.MaxPerUser = -1 }, want: "sessions.max_per_user"},
		{name: "no conns", change: func(c *config.Config) { c.MaxConns = 0 }, want: "max_conns"},
		// The fan-out takes zero for its default.
		{name: "conns that hardly live", change: func(c *config.Config) { c.MaxConnAge = time.Second }, want: "max_conn_age: must be at least 1m"},
		{name: "no drain", change: func(c *config.Config) { c.DrainWindow = 0 }, want: "drain_window: must be at least 1ms"},
		{name: "the shortest drain", change: func(c *config.Config) { c.DrainWindow = time.Millisecond }},
		{name: "negative drain", change: func(c *config.Config) { c.DrainWindow = -1 }, want: "drain_window"},
		{name: "log format", change: func(c *config.Config) { c.LogFormat = "xml" }, want: "log_format"},
		{name: "log level", change: func(c *config.Config) { c.LogLevel = "loud" }, want: "log_level"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config.Default()
			tt.change(&c)
			err := c.Validate()
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want none", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSnapshots(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*config.Config)
		path   string
		saves  bool
	}{
		"by default":                 {change: func(*config.Config) {}, path: filepath.Join("curfew-data", "replica.snapshot"), saves: true},
		"elsewhere":                  {change: func(c *config.Config) { c.SnapshotFile = "/x/y" }, path: "/x/y", saves: true},
		"no file":                    {change: func(c *config.Config) { c.SnapshotFile = "" }, saves: true},
		"nothing is saved":           {change: func(c *config.Config) { c.SnapshotInterval = 0 }, path: filepath.Join("curfew-data", "replica.snapshot")},
		"without a folder":           {change: func(c *config.Config) { c.NATS.URL, c.DataDir = "nats://a", "" }, saves: true},
		"a gate alone, and embedded": {change: func(c *config.Config) { c.Roles, c.DataDir = []string{config.RoleGate}, "d" }, path: filepath.Join("d", "replica.snapshot"), saves: true},
		"a gate alone":               {change: func(c *config.Config) { c.Roles, c.NATS.URL, c.DataDir = []string{config.RoleGate}, "nats://a", "d" }, path: filepath.Join("d", "replica.snapshot")},
	} {
		c := config.Default()
		tt.change(&c)
		if got := c.SnapshotPath(); got != tt.path {
			t.Errorf("%s: the file is %q, want %q", name, got, tt.path)
		}
		if got := c.SavesForAll(); got != tt.saves {
			t.Errorf("%s: saves for all is %t, want %t", name, got, tt.saves)
		}
	}
}

func TestValidateReportsAllAtOnce(t *testing.T) {
	c := config.Config{Listen: "0.0.0.0:1", AllowedOrigins: []string{"*"}, Roles: []string{"x"}}
	err := c.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"listen", "roles", "data_dir", "max_age", "staleness_budget", "ledger.beat_interval", "clock_skew", "heartbeat", "max_conns", "allowed_origins", "log_format", "log_level"} {
		if !strings.Contains("\n"+err.Error(), "\n"+name+":") {
			t.Errorf("%s isn't reported", name)
		}
	}
	if n := strings.Count(err.Error(), "listen:"); n != 1 {
		t.Errorf("listen is reported %d times", n)
	}
}

func TestOrigins(t *testing.T) {
	for origin, ok := range map[string]bool{
		"https://app.example.com": true, "http://localhost:3000": true, "https://[::1]:8443": true, "https://xn--bcher-kva.example": true,
		"https://app.example.com/": false, "https://app.example.com/x": false, "https://app.example.com?": false, "https://app.example.com#": false,
		"https://*.example.com": false, "*": false, "null": false, "": false, "app.example.com": false, "//app.example.com": false, "https://": false,
		"https://:443": false, "ftp://a": false, "https://u:p@a": false, "file:///": false, "https://a b": false,
		// Browsers send none of these, so they would never match.
		"https://App.example.com": false, "HTTPS://app.example.com": false, "https://app.example.com:443": false, "http://app.example.com:80": false,
		"https://app.example.com:": false, "https://bücher.example": false,
	} {
		c := config.Default()
		c.AllowedOrigins = []string{origin}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%q: got %v, want ok = %v", origin, err, ok)
		}
	}
}

// TestReplayFolder: replays write to the data folder unless another is named, and nowhere if none is.
func TestReplayFolder(t *testing.T) {
	c := config.Default()
	if got := c.ReplayFolder(); got != filepath.Join("curfew-data", "replays") {
		t.Error(got)
	}
	c.DataDir = ""
	if got := c.ReplayFolder(); got != "" {
		t.Error(got)
	}
	for _, want := range []string{"", "/srv/replays"} {
		if c.Replay.Folder = want; c.ReplayFolder() != want {
			t.Error(c.ReplayFolder())
		}
	}
	c.Replay.WebhookNetworks = []string{"10.1.2.3/16"}
	if p, err := c.Replay.Prefixes(); err != nil || len(p) != 1 || p[0].String() != "10.1.0.0/16" {
		t.Error(p, err)
	}
}
