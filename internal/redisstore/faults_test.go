package redisstore_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-redis/redis/v8"

	"github.com/curfewhq/curfew/internal/redistest"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

// hole takes connections and says nothing.
func hole(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
	return l.Addr().String()
}

// TestHangsNoLongerThanItsContext: a Redis that hangs, with and without TLS. The publisher gives it 250 ms.
func TestHangsNoLongerThanItsContext(t *testing.T) {
	for _, scheme := range []string{"redis://", "rediss://"} {
		s := open(t, scheme+hole(t))
		for _, call := range []string{"first", "second"} {
			ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
			began := time.Now()
			_, err := sessionstore.Known(ctx, s, "acme", "ada", time.Now())
			cancel()
			// The client's own bounds are a second and more.
			if took := time.Since(began); err == nil || took > 900*time.Millisecond {
				t.Errorf("%s %s: %v after %v", scheme, call, err, took)
			}
		}
	}
}

// TestLostReply: an answer of Redis is lost after the step was done. Nobody is told that somebody else has done it: it isn't known, which is an error.
func TestLostReply(t *testing.T) {
	server := redistest.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	target := strings.TrimSuffix(strings.TrimPrefix(server.URL(), "redis://"), "/0")
	lose := make(chan struct{}, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", target)
			if err != nil {
				return
			}
			go func() {
				buf := make([]byte, 64<<10)
				for {
					n, err := c.Read(buf)
					if err != nil {
						_ = up.Close()
						return
					}
					eval := strings.Contains(strings.ToLower(string(buf[:n])), "evalsha")
					_, _ = up.Write(buf[:n])
					if eval {
						select {
						case <-lose:
							_, _ = up.Read(buf) // done, and nobody hears of it
							_ = c.Close()
							_ = up.Close()
							return
						default:
						}
					}
					n, err = up.Read(buf)
					if err != nil {
						_ = c.Close()
						return
					}
					_, _ = c.Write(buf[:n])
				}
			}()
		}
	}()
	s := open(t, "redis://"+l.Addr().String())
	if _, _, err := s.Create(t.Context(), session("warm"), time.Now()); err != nil {
		t.Fatal(err)
	}
	lose <- struct{}{}
	if _, created, err := s.Create(t.Context(), session("s-1"), time.Now()); !errors.Is(err, sessionstore.ErrUnavailable) {
		t.Errorf("created %v, %v", created, err)
	}
	if _, err := s.Touch(t.Context(), "acme", nil); err != nil {
		t.Fatal(err)
	}
	// The swap script, for a claim.
	if _, _, err := s.End(t.Context(), session("warm").Key(), sessionstore.End{At: time.Now(), Reason: "admin", Position: 1}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	lose <- struct{}{}
	got, ok, err := s.End(t.Context(), session("s-1").Key(), sessionstore.End{At: time.Now(), Reason: "idle_timeout", Event: "e-1"}, time.Time{})
	if !errors.Is(err, sessionstore.ErrUnavailable) {
		t.Errorf("claimed %v, %v, %+v: it is ours, and we are told that somebody else has claimed it", ok, err, got.Ended)
	}
	// And a touch that takes a warning back.
	if _, _, err := s.Create(t.Context(), session("s-2"), time.Now()); err != nil {
		t.Fatal(err)
	}
	stored, err := s.Session(t.Context(), session("s-2").Key())
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Warn(t.Context(), stored.Key(), stored.SeenAt); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if _, err := s.Touch(t.Context(), "acme", []sessionstore.Touch{{ID: "warm", At: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	lose <- struct{}{}
	touched, err := s.Touch(t.Context(), "acme", []sessionstore.Touch{{ID: "s-2", At: time.Now().Add(time.Second)}})
	if !errors.Is(err, sessionstore.ErrUnavailable) {
		t.Errorf("touched %+v, %v: its tabs aren't told that the warning is called off", touched, err)
	}
}

// TestForeignUserSet: what lies under a user's name isn't ours. A session isn't half registered.
func TestForeignUserSet(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	opts, _ := redis.ParseURL(server.URL())
	c := redis.NewClient(opts)
	defer c.Close()
	if err := c.Set(t.Context(), "curfew:user:"+sessionstore.NewHasher([]byte("key")).User("acme", "u-1"), "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	_, created, err := s.Create(t.Context(), session("s-1"), time.Now())
	if err == nil || created {
		t.Fatal(created, err)
	}
	if _, err := s.Session(t.Context(), session("s-1").Key()); !errors.Is(err, sessionstore.ErrUnknown) {
		t.Errorf("refused, and half there: %v", err)
	}
	if due, err := s.Due(t.Context(), time.Now().Add(24*time.Hour), 10); err != nil || len(due) != 0 {
		t.Errorf("due: %v, %v", due, err)
	}
}
