package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/config"
)

func TestHasConsole(t *testing.T) {
	for _, tt := range []struct {
		enabled, listen string
		want            bool
	}{
		{"auto", "127.0.0.1:7081", true}, {"auto", "localhost:7081", true}, {"auto", "0.0.0.0:7081", false}, {"auto", "10.0.0.1:7081", false}, {"auto", "", false},
		{"true", "0.0.0.0:7081", true}, {"1", "10.0.0.1:7081", true}, {"false", "127.0.0.1:7081", false}, {"0", "127.0.0.1:7081", false},
	} {
		c := config.Default()
		c.Console.Enabled, c.AdminListen = tt.enabled, tt.listen
		if got := c.HasConsole(); got != tt.want {
			t.Errorf("%s at %q: %v", tt.enabled, tt.listen, got)
		}
	}
}

func TestConsoleFaults(t *testing.T) {
	good := config.OIDC{
		Issuer: "https://id.example.com", ClientID: "c", RedirectURL: "https://admin.example.com/console/oidc/callback", Claim: "groups", Operators: []string{"sre=default"}, Admins: []string{"a=b=acme"},
	}
	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		want   string // "" for none
	}{
		{"the defaults", func(*config.Config) {}, ""},
		{"a provider", func(c *config.Config) { c.Console.OIDC = good }, ""},
		{"one on this machine", func(c *config.Config) { c.Console.OIDC = good; c.Console.OIDC.Issuer = "http://127.0.0.1:9" }, ""},
		{"something else", func(c *config.Config) { c.Console.Enabled = "yes" }, "console.enabled: "},
		{"no listener", func(c *config.Config) { c.Console.Enabled, c.AdminListen = "true", "" }, "console.enabled: the console lies on admin_listen"},
		{"too long", func(c *config.Config) { c.Console.Lifetime = 25 * time.Hour }, "console.lifetime: "},
		{"too short", func(c *config.Config) { c.Console.Lifetime = time.Second }, "console.lifetime: "},
		{"no idle timeout", func(c *config.Config) { c.Console.IdleTimeout = 0 }, "console.idle_timeout: "},
		{"idle for longer than it lasts", func(c *config.Config) { c.Console.IdleTimeout = 9 * time.Hour }, "console.idle_timeout: "},
		{"no issuer", func(c *config.Config) { c.Console.OIDC.Operators = []string{"a=b"} }, "console.oidc.issuer: "},
		{"an issuer in the clear", func(c *config.Config) { c.Console.OIDC = good; c.Console.OIDC.Issuer = "http://id.example.com" }, "console.oidc.issuer: "},
		{"no redirect", func(c *config.Config) { c.Console.OIDC = good; c.Console.OIDC.RedirectURL = "" }, "console.oidc.redirect_url: "},
		{"another path", func(c *config.Config) {
			c.Console.OIDC = good
			c.Console.OIDC.RedirectURL = "https://admin.example.com/"
		}, "console.oidc.redirect_url: "},
		{"no client", func(c *config.Config) { c.Console.OIDC = good; c.Console.OIDC.ClientID = "" }, "console.oidc.client_id: "},
		{"no claim", func(c *config.Config) { c.Console.OIDC = good; c.Console.OIDC.Claim = "" }, "console.oidc.claim: "},
		{"nobody", func(c *config.Config) {
			c.Console.OIDC = good
			c.Console.OIDC.Operators, c.Console.OIDC.Admins = nil, nil
		}, "console.oidc.operators, admins: give some"},
		{"no tenant", func(c *config.Config) { c.Console.OIDC = good; c.Console.OIDC.Operators = []string{"sre"} }, `console.oidc.operators, admins: "sre" isn't VALUE=TENANT`},
		{"a value for two tenants", func(c *config.Config) {
			c.Console.OIDC = good
			c.Console.OIDC.Admins = []string{"support=acme", "support=globex"}
		}, `"support" stands there twice`},
		{"no value", func(c *config.Config) { c.Console.OIDC = good; c.Console.OIDC.Operators = []string{"=acme"} }, "isn't VALUE=TENANT"},
		{"not looked at without a console", func(c *config.Config) { c.Console.Enabled, c.Console.Lifetime = "false", 0 }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config.Default()
			tt.change(&c)
			err := c.Validate()
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
	if g, err := config.ParseGrant("a=b=acme"); err != nil || g != (config.Grant{Value: "a=b", Tenant: "acme"}) {
		t.Errorf("got %v %v", g, err)
	}
}
