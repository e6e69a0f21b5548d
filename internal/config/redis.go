package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Where the URL is set, as each place spells it.
const (
	redisURL     = "redis.url (--redis-url, CURFEW_REDIS_URL)"
	redisURLFile = "redis.url_file (--redis-url-file, CURFEW_REDIS_URL_FILE)"
)

// Redis says where sessions are kept instead of in NATS.
type Redis struct {
	// URL is redis://user:password@host:port/db, or rediss:// for TLS. Empty keeps sessions in NATS.
	URL string `koanf:"url"`
	// URLFile holds the URL on one line, instead of URL.
	URLFile string `koanf:"url_file"`
}

// Location returns the URL, out of URLFile where that is set; empty for none. The error quotes nothing of the URL, which has a password.
func (r Redis) Location() (string, error) {
	if r.URLFile == "" {
		if r.URL == "" {
			return "", nil
		}
		return r.URL, redisFault(redisURL, r.URL)
	}
	b, err := os.ReadFile(r.URLFile)
	if err != nil {
		return "", fmt.Errorf("%s: %w", redisURLFile, err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" || strings.ContainsAny(text, " \r\n") {
		return "", fmt.Errorf("%s: %s must hold one URL and nothing else", redisURLFile, r.URLFile)
	}
	return text, redisFault(redisURLFile, text)
}

// fault says what is wrong. Where the process has no use for Redis, it needn't have the file either.
func (r Redis) fault(used bool) error {
	if r.URL != "" && r.URLFile != "" {
		return errors.New("redis.url, redis.url_file: give one of them")
	}
	if !used {
		return nil
	}
	_, err := r.Location()
	return err
}

// redisFault says what is wrong with a URL that is set at a place.
func redisFault(place, text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme) || u.Opaque != "" || u.Fragment != "":
		return fmt.Errorf("%s: write redis://user:password@host:port/db, or rediss:// for TLS; what has a meaning in URLs is percent-encoded in a password, such as %%23 for #", place)
	case u.Scheme == "unix" && strings.TrimSpace(u.Path) == "":
		return fmt.Errorf("%s: write unix:// and the path of Redis's socket", place)
	case u.Scheme == "unix":
		return nil
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if _, err := strconv.ParseUint(db, 10, 31); err != nil {
			return fmt.Errorf("%s: what follows the host must be the number of a database, such as /0", place)
		}
	}
	return nil
}
