package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

const envPrefix = "CURFEW_"

// notMembers are environment variables and flags of the command line that aren't members of the configuration.
var notMembers = []string{"url", "admin_url", "api_key", "api_key_file"}

// serviceLinkForm is the form of the variables that Kubernetes gives each pod for a service named curfew, or curfew-something, but for the
// one that ends in _PORT: its value tells it.
var serviceLinkForm = regexp.MustCompile(`^CURFEW_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

func isServiceLink(key, v string) bool {
	return serviceLinkForm.MatchString(key) || strings.HasSuffix(key, "_PORT") && strings.Contains(v, "://")
}

// Flags adds a flag for every member to set, with the default as its default.
func Flags(set *pflag.FlagSet) {
	d := Default()
	set.String("config", "", "YAML file with the configuration")
	set.String("listen", d.Listen, "address of the API and the tabs")
	set.String("admin-listen", d.AdminListen, "address of /healthz, /readyz, /doctor, /metrics and the console; empty for none")
	set.String("data-dir", d.DataDir, "folder of the embedded ledger, the first admin key and the snapshot")
	set.String("snapshot-file", d.SnapshotFile, "where this process keeps what it knows, to start from; auto for replica.snapshot in data-dir, empty for none")
	set.Duration("snapshot-interval", d.SnapshotInterval, "how often snapshots are saved, to snapshot-file and to NATS; 0 for never")
	set.StringSlice("roles", d.Roles, "services to run: publisher (revocations), gate (checks and forward-auth), fanout (tabs and their tickets), sessions (who is signed in where), replay (the history and replays, for operators), audit (signed checkpoints of the ledger)")
	set.String("tls-cert-file", "", "PEM certificate of listen")
	set.String("tls-key-file", "", "PEM key of listen")
	set.Bool("behind-proxy", d.BehindProxy, "other machines reach listen and admin-listen only through a proxy, which speaks TLS")
	set.String("nats-url", "", "external NATS instead of the embedded one")
	set.String("nats-creds-file", "", "credentials for the external NATS")
	set.String("nats-nkey-file", "", "nkey seed for the external NATS")
	set.String("nats-ca-file", "", "PEM certificates that the external NATS is trusted by")
	set.String("nats-cert-file", "", "PEM certificate to show to the external NATS")
	set.String("nats-key-file", "", "PEM key to nats-cert-file")
	set.String("nats-listen", "", "address at which the embedded NATS takes other processes")
	set.String("nats-listen-user", "", "user name that nats-listen asks for; required beyond loopback")
	set.String("nats-listen-password-file", "", "file with the password that nats-listen asks for")
	set.Duration("ledger-sync-interval", d.Ledger.SyncInterval, "how often the embedded ledger is synced to disk; 0 before each acknowledgement")
	set.Int("ledger-replicas", d.Ledger.Replicas, "copies of the ledger in a NATS cluster")
	set.Duration("ledger-retention", d.Ledger.Retention, "how long events are kept; 0 for max-age, 5 minutes and a day")
	set.Int64("ledger-max-bytes", d.Ledger.MaxBytes, "size of the ledger; 0 for 4 GiB or half of the free disk")
	set.Duration("ledger-beat-interval", d.Ledger.BeatInterval, "how often the beat is written")
	set.StringSlice("jwt-algorithms", nil, "algorithms that callers' tokens may be signed with; empty reads no tokens")
	set.String("jwt-jwks-url", "", "where the token keys are published")
	set.String("jwt-jwks-file", "", "file with the token keys as a JWK set")
	set.String("jwt-key-file", "", "file with the one token key: PEM, or a secret for HS256 to HS512")
	set.String("jwt-issuer", "", "iss that tokens must have")
	set.StringSlice("jwt-audience", nil, "aud that tokens must have one of")
	set.String("jwt-cookie", "", "cookie that holds the token")
	set.String("jwt-tenant", d.JWT.Tenant, "tenant of the tokens' sessions")
	set.Bool("jwt-dangerously-use-issued-at", false, "take iat for the auth time; only where tokens are never re-signed")
	set.String("jwt-claim-session", "", "claim with the session id (default sid)")
	set.String("jwt-claim-user", "", "claim with the user id (default sub)")
	set.String("jwt-claim-device", "", "claim with the device id (default device_id)")
	set.String("jwt-claim-client", "", "claim with the OAuth client (default client_id, then azp)")
	set.StringSlice("authjs-secret-files", nil, "files with a secret of Auth.js each, the newest first; forward-auth then reads its session cookies")
	set.String("authjs-cookie", "", "session cookie of Auth.js (default: whichever of Auth.js's own names is there)")
	set.String("authjs-tenant", d.AuthJS.Tenant, "tenant of the cookies' sessions")
	set.String("authjs-claim-session", "", "claim with the session id (default sid)")
	set.String("authjs-claim-user", "", "claim with the user id (default sub)")
	set.String("authjs-claim-device", "", "claim with the device id (default device_id)")
	set.String("authjs-claim-client", "", "claim with the OAuth client (default client_id, then azp)")
	set.String("audit-file", "", "file to which checkpoints of the ledger are added, beside their stream")
	set.Bool("canary", false, "revoke a synthetic session of each tenant each canary-interval, and alarm when a replica goes on calling it active")
	set.Duration("canary-interval", d.CanaryInterval, "how often a canary is revoked; at least 10s")
	set.Duration("sessions-idle-timeout", d.Sessions.IdleTimeout, "after how long without anybody's being there a session ends; 0 for never")
	set.Duration("sessions-notice", d.Sessions.Notice, "how long before its end the tabs of a session are told; 0 tells them nothing")
	set.Int("sessions-max-per-user", d.Sessions.MaxPerUser, "most sessions of one user that go on at once, at most 1000; 0 for no bound")
	set.Int("sessions-ipv4-bits", d.Sessions.IPv4Bits, "how much of a session's IPv4 address is kept; 0 for none")
	set.Int("sessions-ipv6-bits", d.Sessions.IPv6Bits, "how much of a session's IPv6 address is kept; 0 for none")
	set.String("replay-folder", d.Replay.Folder, "where replays write files; auto for replays in data-dir, empty allows none")
	set.StringSlice("replay-webhook-networks", d.Replay.WebhookNetworks, "networks that webhooks of replays may lie in beside the public ones, such as 10.1.0.0/16")
	set.String("replica-group", d.ReplicaGroup, "group of this process's replica, by which a replay has it read the ledger anew")
	set.String("redis-url", "", "Redis to keep sessions in instead of NATS, and for replays to send to: redis://user:password@host:port/db; others can read a password on a command line, so use redis-url-file or the environment")
	set.String("redis-url-file", "", "file with redis-url")
	set.String("console-enabled", d.Console.Enabled, "the operators' page at /console/ on admin-listen: true, false, or auto for where only this machine reaches that")
	set.Duration("console-lifetime", d.Console.Lifetime, "how long somebody stays signed in to the console at most; up to 24h")
	set.Duration("console-idle-timeout", d.Console.IdleTimeout, "after how long without input somebody is signed out of the console")
	set.String("console-oidc-issuer", "", "OpenID provider that lets people into the console; empty for none")
	set.String("console-oidc-client-id", "", "the console's client id at the provider")
	set.String("console-oidc-client-secret-file", "", "file with the client's secret; empty for a public client")
	set.String("console-oidc-redirect-url", "", "the console's own address and /console/oidc/callback, as the provider knows it")
	set.StringSlice("console-oidc-scopes", d.Console.OIDC.Scopes, "scopes to ask the provider for, beside openid")
	set.String("console-oidc-claim", d.Console.OIDC.Claim, "claim of the ID token that decides who is let in")
	set.StringSlice("console-oidc-operators", nil, "VALUE=TENANT: who has the value in the claim is an operator who belongs to the tenant")
	set.StringSlice("console-oidc-admins", nil, "VALUE=TENANT: who has the value in the claim is the tenant's admin")
	set.Duration("max-age", d.MaxAge, "age from auth time at which every session is over")
	set.Duration("staleness-budget", d.StalenessBudget, "how old the replica's proof may be")
	set.Duration("clock-skew", d.ClockSkew, "how far in the future a caller's cutoff may lie")
	set.Bool("dangerously-fail-open", false, "pass undetermined callers of forward-auth")
	set.Int("passes", d.Passes, "how many requests that passed are remembered, for curfew exposure, in 32 bytes each; 0 for none")
	set.StringSlice("allowed-origins", nil, "origins from which browsers may open conns")
	set.Duration("heartbeat", d.Heartbeat, "how often an idle conn is pinged")
	set.Int("max-conns", d.MaxConns, "most open conns")
	set.Int("max-conns-per-user", d.MaxConnsPerUser, "most open conns of one user; -1 for no bound")
	set.Bool("tabs-by-session", d.TabsBySession, "let tabs connect by their session cookie or token, which jwt-* and authjs-* read, without a ticket")
	set.Duration("max-conn-age", d.MaxConnAge, "how long a conn stays open at most before its tab comes back with a new ticket; at least 1m")
	set.Duration("drain-window", d.DrainWindow, "over how long conns are closed at shutdown; at least 1ms")
	set.Int("login-rate", d.LoginRate, "most tabs a second that this process sends to the sign-in page where one revocation ends many; 0 for all at once")
	set.Int("approval-threshold-sessions", d.Approval.ThresholdSessions, "sessions above which a second person approves the revocation of a client, and then of every tenant; 0 for nobody")
	set.String("log-format", d.LogFormat, "auto, json or text")
	set.String("log-level", d.LogLevel, "error, warning, info or debug")
}

// Load puts the configuration together. set is a set that Flags was called with, or nil; environ is os.Environ. It reports all that it can't
// read at once. It doesn't validate.
func Load(set *pflag.FlagSet, environ []string) (Config, error) {
	k := koanf.New(".")
	members := memberNames()
	fromEnv, envFaults := readEnv(environ, members)
	path := fromEnv["config"]
	if set != nil {
		if f := set.Lookup("config"); f != nil && f.Changed {
			path = f.Value.String()
		}
	}
	delete(fromEnv, "config")
	if p, ok := path.(string); ok && p != "" {
		if err := k.Load(file.Provider(p), yaml.Parser()); err != nil {
			return Config{}, fmt.Errorf("config file %s: %w", p, err)
		}
		for _, name := range k.Keys() {
			// A name with a dot in it looks like a member's here and would be without effect.
			if !slices.Contains(members, name) || !nested(k.Raw(), strings.Split(name, ".")) {
				envFaults = append(envFaults, fmt.Errorf("config file %s: %s isn't a member of the configuration: see 'curfew serve --help'", p, name))
			}
		}
	}
	if err := k.Load(confmap.Provider(fromEnv, "."), nil); err != nil {
		return Config{}, fmt.Errorf("environment: %w", err)
	}
	if set != nil {
		if err := k.Load(confmap.Provider(changedFlags(set, members), "."), nil); err != nil {
			return Config{}, fmt.Errorf("flags: %w", err)
		}
	}
	c, err := decode(k)
	if err := errors.Join(append(envFaults, err)...); err != nil {
		return Config{}, err
	}
	return c, nil
}

// nested reports whether the path leads through maps, and not to a name that holds dots itself.
func nested(m map[string]any, path []string) bool {
	v, ok := m[path[0]]
	if len(path) == 1 {
		return ok
	}
	inner, ok := v.(map[string]any)
	return ok && nested(inner, path[1:])
}

func decode(k *koanf.Koanf) (Config, error) {
	c := Default()
	err := k.UnmarshalWithConf("", &c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result: &c, TagName: "koanf", WeaklyTypedInput: true, ZeroFields: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(durationHook, listHook),
	}})
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	return c, nil
}

// durationHook reads durations from text only: a bare number has no unit, and would be taken for nanoseconds.
func durationHook(_, to reflect.Type, v any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() {
		return v, nil
	}
	switch v := v.(type) {
	case time.Duration:
		return v, nil
	case string:
		if d, err := time.ParseDuration(v); err == nil {
			return d, nil
		}
	}
	return nil, errors.New("want a number with a unit, such as 15s, 5m or 720h")
}

// listHook splits a list that was given as one text at its commas.
func listHook(from, to reflect.Type, v any) (any, error) {
	if from.Kind() != reflect.String || to != reflect.TypeFor[[]string]() {
		return v, nil
	}
	var list []string
	for part := range strings.SplitSeq(v.(string), ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list, nil
}

// memberNames returns all members in dotted form, from the defaults.
func memberNames() []string {
	var all map[string]any
	// A struct of plain members always decodes into a map.
	_ = mapstructureDecode(Default(), &all)
	k := koanf.New(".")
	_ = k.Load(confmap.Provider(all, "."), nil)
	return k.Keys()
}

func mapstructureDecode(from any, into *map[string]any) error {
	dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: into, TagName: "koanf"})
	if err != nil {
		return err
	}
	return dec.Decode(from)
}

// readEnv turns CURFEW_JWT_JWKS_URL into jwt.jwks_url. A variable that is no member is a fault.
func readEnv(environ, members []string) (map[string]any, []error) {
	values := map[string]any{}
	var faults []error
	provider := env.Provider(".", env.Opt{Prefix: envPrefix, EnvironFunc: func() []string { return environ }, TransformFunc: func(key, v string) (string, any) {
		name := strings.ToLower(strings.TrimPrefix(key, envPrefix))
		if member, ok := memberOf(name, members); ok {
			values[member] = v
		} else if name == "config" {
			values[name] = v
		} else if !slices.Contains(notMembers, name) && !isServiceLink(key, v) {
			faults = append(faults, fmt.Errorf("environment: %s isn't known: see 'curfew serve --help'", key))
		}
		return "", nil
	}})
	if _, err := provider.Read(); err != nil {
		faults = append(faults, err)
	}
	return values, faults
}

// memberOf finds the member whose dotted name reads like this with underscores.
func memberOf(name string, members []string) (string, bool) {
	i := slices.IndexFunc(members, func(m string) bool { return strings.ReplaceAll(m, ".", "_") == name })
	if i < 0 {
		return "", false
	}
	return members[i], true
}

func changedFlags(set *pflag.FlagSet, members []string) map[string]any {
	values := map[string]any{}
	set.Visit(func(f *pflag.Flag) {
		member, ok := memberOf(strings.ReplaceAll(f.Name, "-", "_"), members)
		if !ok {
			return
		}
		if s, isSlice := f.Value.(pflag.SliceValue); isSlice {
			values[member] = s.GetSlice()
			return
		}
		values[member] = f.Value.String()
	})
	return values
}

// Describe returns the configuration member by member, for curfew doctor. Secrets live in files, and what URLs hold of users and passwords is
// left out.
func Describe(c Config) []string {
	var all map[string]any
	_ = mapstructureDecode(c, &all)
	k := koanf.New(".")
	_ = k.Load(confmap.Provider(all, "."), nil)
	names := k.Keys()
	slices.Sort(names)
	lines := make([]string, len(names))
	for i, n := range names {
		v := k.Get(n)
		switch value := v.(type) {
		case time.Duration:
			v = value.String()
		case string:
			v = withoutUser(value)
		}
		lines[i] = fmt.Sprintf("%s = %v", n, v)
	}
	return lines
}

// withoutUser leaves out what stands before the @ in each of the URLs of a comma-separated list. A password may hold commas, and an @ too: whatever stands between a URL's scheme and the last
// @ in front of the next one's goes.
func withoutUser(s string) string {
	var out strings.Builder
	for s != "" {
		end := len(s)
		if next := nextURL.FindStringIndex(s[1:]); next != nil {
			end = 1 + next[0] + 1 // the comma is the first one's
		}
		out.WriteString(hideUser(s[:end]))
		s = s[end:]
	}
	return out.String()
}

// nextURL is where another URL of a list begins.
var nextURL = regexp.MustCompile(`,\s*[a-z][a-z0-9+.-]*://`)

func hideUser(url string) string {
	at := strings.LastIndexByte(url, '@')
	if at < 0 {
		return url
	}
	scheme := ""
	if end := strings.Index(url, "://"); end >= 0 && end < at {
		scheme = url[:end+len("://")]
	}
	return scheme + "(redacted)" + url[at:]
}
