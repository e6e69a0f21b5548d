package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/internal/config"
)

// TestRedisURL: a file's one line is the URL. What it holds is quoted nowhere.
func TestRedisURL(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "redis.url")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const url = "redis://:planted@127.0.0.1:6379/0"
	for _, test := range []struct {
		name, file, want string
		fails            bool
	}{
		{"a line", write(url + "\n"), url, false}, {"without an end", write(url), url, false},
		{"nothing", write("\n"), "", true}, {"two lines", write(url + "\n" + url), "", true}, {"a space in it", write("redis://:planted@127.0.0.1 :6379"), "", true},
		{"no file", filepath.Join(t.TempDir(), "none"), "", true},
	} {
		got, err := redisURL(config.Redis{URLFile: test.file})
		if got != test.want || (err != nil) != test.fails {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
		if err != nil && (strings.Contains(err.Error(), "planted") || !strings.Contains(err.Error(), "redis.url_file")) {
			t.Errorf("%s: the error doesn't name the setting, or quotes it: %v", test.name, err)
		}
	}
	if got, err := redisURL(config.Redis{URL: url}); got != url || err != nil {
		t.Errorf("given itself: %q, %v", got, err)
	}
}
