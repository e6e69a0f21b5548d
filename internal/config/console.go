package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
)

// Console says who may see the operators' page, which lies on AdminListen.
type Console struct {
	// Enabled is true, false, or auto, which is true where AdminListen can be reached from this machine only.
	Enabled string `koanf:"enabled"`
	// Lifetime is how long somebody stays signed in at most, at least 1m and at most a day. IdleTimeout is after how long without input he no longer is.
	Lifetime    time.Duration `koanf:"lifetime"`
	IdleTimeout time.Duration `koanf:"idle_timeout"`
	OIDC        OIDC          `koanf:"oidc"`
}

// OIDC says whom an OpenID provider lets into the console. It is off while Issuer is empty.
type OIDC struct {
	Issuer   string `koanf:"issuer"`
	ClientID string `koanf:"client_id"`
	// SecretFile holds the client's secret on one line. Empty for a public client, which PKCE protects alone.
	SecretFile string `koanf:"client_secret_file"`
	// RedirectURL is where the provider sends browsers back to: the console's own address and /console/oidc/callback.
	RedirectURL string `koanf:"redirect_url"`
	// Scopes are asked for beside openid.
	Scopes []string `koanf:"scopes"`
	// Claim is the claim of the ID token that decides: a text, or a list of texts. Where it is email, email_verified must be true.
	Claim string `koanf:"claim"`
	// Operators and Admins are VALUE=TENANT: who has the value in the claim is an operator who belongs to the tenant, or the tenant's admin. Nobody else is let in.
	Operators []string `koanf:"operators"`
	Admins    []string `koanf:"admins"`
}

// autoConsole leaves it to the admin listener's address.
const autoConsole = "auto"

// maxConsoleLifetime is shorter than sessions that were signed out are remembered.
const maxConsoleLifetime = 24 * time.Hour

// callbackPath is where the console takes browsers back from the provider.
const callbackPath = "/console/oidc/callback"

// HasConsole reports whether the process has the operators' page.
func (c Config) HasConsole() bool {
	switch c.Console.Enabled {
	case "true", "1":
		return true
	case autoConsole:
		return c.AdminListen != "" && Loopback(c.AdminListen)
	}
	return false
}

func (c Config) consoleFaults() []error {
	var errs []error
	fault := func(bad bool, text string) {
		if bad {
			errs = append(errs, errors.New(text))
		}
	}
	q := c.Console
	fault(!slices.Contains([]string{autoConsole, "true", "false", "1", "0"}, q.Enabled), "console.enabled: want auto, true or false")
	if !c.HasConsole() {
		return errs
	}
	fault(c.AdminListen == "", "console.enabled: the console lies on admin_listen: set it, or leave console.enabled out")
	fault(q.Lifetime < time.Minute || q.Lifetime > maxConsoleLifetime, "console.lifetime: must be between 1m and 24h")
	fault(q.IdleTimeout < time.Minute || q.IdleTimeout > q.Lifetime, "console.idle_timeout: must be at least 1m, and no longer than console.lifetime")
	return append(errs, q.OIDC.faults()...)
}

func (o OIDC) faults() []error {
	if o.Issuer == "" {
		if o.ClientID+o.SecretFile+o.RedirectURL != "" || len(o.Operators)+len(o.Admins) > 0 {
			return []error{errors.New("console.oidc.issuer: name the provider, such as https://id.example.com, or leave out what else is set of console.oidc")}
		}
		return nil
	}
	var errs []error
	fault := func(bad bool, text string) {
		if bad {
			errs = append(errs, errors.New("console.oidc."+text))
		}
	}
	issuer, err := url.Parse(o.Issuer)
	fault(err != nil || !secure(issuer), "issuer: must be an https:// URL; http:// is for this machine only")
	back, err := url.Parse(o.RedirectURL)
	fault(err != nil || !secure(back) || back.Path != callbackPath || back.RawQuery != "", "redirect_url: write the console's own address as browsers know it and "+callbackPath+
		", such as https://curfew-admin.example.com"+callbackPath+"; http:// is for this machine only")
	fault(o.ClientID == "", "client_id: required, as the provider has given it")
	fault(o.Claim == "", "claim: name the claim that decides, such as groups or email")
	fault(len(o.Operators)+len(o.Admins) == 0, "operators, admins: give some VALUE=TENANT, or nobody could sign in")
	for _, grants := range [][]string{o.Operators, o.Admins} {
		seen := map[string]bool{}
		for _, text := range grants {
			grant, err := ParseGrant(text)
			fault(err != nil, fmt.Sprintf("operators, admins: %q isn't VALUE=TENANT, with a tenant of lower-case letters, digits and dashes", text))
			fault(err == nil && seen[grant.Value], fmt.Sprintf("operators, admins: %q stands there twice, and who has it belongs to one tenant: give a value for each", grant.Value))
			seen[grant.Value] = true
		}
	}
	return errs
}

// secure reports whether what is said to a URL can't be read on the way.
func secure(u *url.URL) bool {
	return u != nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && Loopback(u.Hostname()+":0"))
}

// Grant is what a value of the claim gives.
type Grant struct{ Value, Tenant string }

// ParseGrant reads VALUE=TENANT. The value may hold a = itself.
func ParseGrant(s string) (Grant, error) {
	at := strings.LastIndexByte(s, '=')
	if at < 1 || events.TenantFault(s[at+1:]) != "" {
		return Grant{}, errors.New("want VALUE=TENANT")
	}
	return Grant{Value: s[:at], Tenant: s[at+1:]}, nil
}
