package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/internal/config"
)

// TestRedis: what can't be where a Redis is, is refused before anything starts, by the names under which it is set, and without the password.
func TestRedis(t *testing.T) {
	file := func(text string) func(*testing.T, *config.Config) {
		return func(t *testing.T, c *config.Config) {
			c.Redis.URLFile = filepath.Join(t.TempDir(), "redis.url")
			if err := os.WriteFile(c.Redis.URLFile, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	url := func(text string) func(*testing.T, *config.Config) {
		return func(_ *testing.T, c *config.Config) { c.Redis.URL = text }
	}
	absent := func(_ *testing.T, c *config.Config) { c.Redis.URLFile = "/does/not/exist" }
	const inURL, inFile = "redis.url (--redis-url, CURFEW_REDIS_URL): ", "redis.url_file (--redis-url-file, CURFEW_REDIS_URL_FILE): "
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *config.Config)
		// want is what the error must say, or none for no error.
		want []string
		// location is what is found where there is no error.
		location string
	}{
		{name: "none", change: url("")},
		{name: "a URL", change: url("redis://u:hunter2@127.0.0.1:6379/0"), location: "redis://u:hunter2@127.0.0.1:6379/0"},
		{name: "in a file", change: file("rediss://:hunter2@redis.internal/1\n"), location: "rediss://:hunter2@redis.internal/1"},
		{name: "a socket", change: url("unix:///run/redis.sock"), location: "unix:///run/redis.sock"},
		{name: "another scheme", change: url("http://u:hunter2@127.0.0.1:6379"), want: []string{inURL, "write redis://"}},
		{name: "no scheme", change: url("hunter2@127.0.0.1:6379"), want: []string{inURL, "write redis://"}},
		{name: "a name and a port", change: url("localhost:6379"), want: []string{inURL, "write redis://"}},
		{name: "a port that is none", change: url("redis://u:hunter2@127.0.0.1:redis"), want: []string{inURL, "write redis://"}},
		{name: "a password with a hash", change: url("redis://u:hunter2#x@127.0.0.1:6379/0"), want: []string{inURL, "%23 for #"}},
		{name: "a database by its name", change: url("redis://u:hunter2@127.0.0.1:6379/sessions"), want: []string{inURL, "the number of a database"}},
		{name: "two databases", change: url("redis://127.0.0.1:6379/0/1"), want: []string{inURL, "the number of a database"}},
		{name: "a socket nowhere", change: url("unix://"), want: []string{inURL, "socket"}},
		{name: "no such file", change: absent, want: []string{inFile, "/does/not/exist"}},
		{name: "an empty file", change: file("\n"), want: []string{inFile, "one URL and nothing else"}},
		{name: "a file with more", change: file("redis://u:hunter2@127.0.0.1:6379/0\n# old\n"), want: []string{inFile, "one URL and nothing else"}},
		{name: "a bad URL in a file", change: file("127.0.0.1:6379"), want: []string{inFile, "write redis://"}},
		{name: "both", change: func(t *testing.T, c *config.Config) { file("redis://a")(t, c); c.Redis.URL = "redis://b" }, want: []string{"redis.url, redis.url_file: give one"}},
		{name: "no such file, beside other faults", change: func(t *testing.T, c *config.Config) { absent(t, c); c.MaxConns = 0 }, want: []string{inFile, "max_conns"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config.Default()
			tt.change(t, &c)
			err := c.Validate()
			if len(tt.want) == 0 {
				if got, lost := c.Redis.Location(); err != nil || lost != nil || got != tt.location {
					t.Errorf("got %q, %v, %v, want %q", got, lost, err, tt.location)
				}
				return
			}
			if err == nil {
				t.Fatal("it is taken")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q isn't said in: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is quoted: %v", err)
			}
		})
	}
	t.Run("nobody needs it", func(t *testing.T) {
		c := config.Default()
		c.Roles, c.NATS.URL = []string{config.RoleGate, config.RoleFanout}, "nats://a"
		absent(t, &c)
		if err := c.Validate(); err != nil {
			t.Errorf("a process without sessions must have the file of those with: %v", err)
		}
	})
}
