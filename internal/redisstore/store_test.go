package redisstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/curfewhq/curfew/internal/redisstore"
	"github.com/curfewhq/curfew/internal/redistest"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/internal/sessionstore/sessionstoretest"
)

func open(t *testing.T, url string) *redisstore.Store {
	t.Helper()
	s, err := redisstore.Open(redisstore.Config{URL: url, Hasher: sessionstore.NewHasher([]byte("key"))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestRedis(t *testing.T) {
	sessionstoretest.Run(t, func(t *testing.T) sessionstoretest.Opener {
		server := redistest.Start(t)
		return func() sessionstore.Store { return open(t, server.URL()) }
	})
}

func TestMiniredis(t *testing.T) {
	sessionstoretest.Run(t, func(t *testing.T) sessionstoretest.Opener {
		server := miniredis.RunT(t)
		return func() sessionstore.Store { return open(t, "redis://"+server.Addr()) }
	})
}

func session(id string) sessionstore.Session {
	at := time.Now().UTC().Truncate(time.Millisecond)
	return sessionstore.Session{Tenant: "acme", ID: id, User: "u-1", AuthTime: at, CreatedAt: at, SeenAt: at, ExpiresAt: at.Add(time.Hour)}
}

// TestKeysExpire by themselves, the user's set with its last session, and an ended session earlier than one that goes on.
func TestKeysExpire(t *testing.T) {
	server := miniredis.RunT(t)
	s := open(t, "redis://"+server.Addr())
	long := session("s-2")
	long.ExpiresAt = long.ExpiresAt.Add(24 * time.Hour)
	for _, session := range []sessionstore.Session{session("s-1"), long, session("s-3")} {
		if _, _, err := s.Create(t.Context(), session, session.ExpiresAt); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.End(t.Context(), sessionstore.Key{Tenant: "acme", ID: "s-3"}, sessionstore.End{At: time.Now(), Reason: "admin", Position: 1}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	left := func(after time.Duration, want int) {
		t.Helper()
		server.FastForward(after)
		list, _, err := s.Sessions(t.Context(), "acme", "u-1", 10)
		if err != nil || len(list) != want {
			t.Errorf("%d sessions, %v, want %d", len(list), err, want)
		}
	}
	left(sessionstore.KeepEnded-time.Minute, 3)
	left(2*time.Minute, 2)
	left(time.Hour, 1)
	left(24*time.Hour, 0)
	for _, key := range server.Keys() {
		if key != "curfew:due" {
			t.Errorf("%s is left", key)
		}
	}
}

// TestNamesTellNobody: who lists keys sees no id.
func TestNamesTellNobody(t *testing.T) {
	server := miniredis.RunT(t)
	s := open(t, "redis://"+server.Addr())
	secret := session("planted-session")
	secret.User = "planted-user"
	if _, _, err := s.Create(t.Context(), secret, secret.ExpiresAt); err != nil {
		t.Fatal(err)
	}
	for _, key := range server.Keys() {
		if strings.Contains(key, "planted") {
			t.Errorf("a key tells an id: %s", key)
		}
	}
}

// TestRedisGoesAndComes: what can't be reached says so, by name, and comes back by itself.
func TestRedisGoesAndComes(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	want := session("s-1")
	if _, _, err := s.Create(t.Context(), want, want.ExpiresAt); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	began := time.Now()
	_, err := s.Session(t.Context(), want.Key())
	if !errors.Is(err, sessionstore.ErrUnavailable) || time.Since(began) > 5*time.Second {
		t.Errorf("away: %v after %v", err, time.Since(began))
	}
	if _, _, err := s.Create(t.Context(), want, want.ExpiresAt); !errors.Is(err, sessionstore.ErrUnavailable) {
		t.Errorf("away: %v", err)
	}
	server.Start(t)
	// The scripts went with the server.
	if _, created, err := s.Create(t.Context(), want, want.ExpiresAt); err != nil || !created {
		t.Errorf("back: %v, %v", created, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, url := range []string{"", "http://:planted-password@host", "redis://:planted-password@host:x"} {
		_, err := redisstore.Open(redisstore.Config{URL: url})
		if err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// TestForeignValue: what isn't ours is told and not overwritten.
func TestForeignValue(t *testing.T) {
	server := miniredis.RunT(t)
	s := open(t, "redis://"+server.Addr())
	name := "curfew:session:" + sessionstore.NewHasher([]byte("key")).Session(sessionstore.Key{Tenant: "acme", ID: "s-1"})
	if err := server.Set(name, "something"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Session(t.Context(), sessionstore.Key{Tenant: "acme", ID: "s-1"}); err == nil || errors.Is(err, sessionstore.ErrUnknown) {
		t.Errorf("%v", err)
	}
	if _, created, err := s.Create(t.Context(), session("s-1"), time.Time{}); err == nil || created {
		t.Errorf("%v, %v", created, err)
	}
}
