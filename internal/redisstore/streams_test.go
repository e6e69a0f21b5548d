package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-redis/redis/v8"

	"github.com/curfewhq/curfew/internal/redisstore"
	"github.com/curfewhq/curfew/internal/redistest"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

func streams(t *testing.T, url string) *redisstore.Streams {
	t.Helper()
	s, err := redisstore.OpenStreams(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func entries(from, to uint64) (list []redisstore.Entry) {
	for at := from; at < to; at++ {
		list = append(list, redisstore.Entry{Position: at, ID: fmt.Sprint("r/", at), Event: fmt.Appendf(nil, `{"n":%d}`, at)})
	}
	return list
}

// TestStreams: what is added again, or in parts that overlap, is there once, under its position; and the stream goes away by itself.
func TestStreams(t *testing.T) {
	server := redistest.Start(t)
	s := streams(t, server.URL())
	key := redisstore.StreamKey("one")
	for _, part := range [][2]uint64{{5, 100}, {5, 100}, {50, 150}, {149, 151}} {
		if err := s.Add(t.Context(), key, entries(part[0], part[1])); err != nil {
			t.Fatal(part, err)
		}
	}
	opts, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	defer client.Close()
	got, err := client.XRange(t.Context(), "curfew:replay:one", "-", "+").Result()
	if err != nil || len(got) != 146 {
		t.Fatalf("%d entries, %v", len(got), err)
	}
	for i, m := range got {
		if want := fmt.Sprint(i + 5); m.ID != want+"-0" || m.Values["id"] != "r/"+want || m.Values["event"] != `{"n":`+want+`}` {
			t.Fatalf("%d: %+v", i, m)
		}
	}
	if ttl := client.TTL(t.Context(), key).Val(); ttl < 6*24*time.Hour || ttl > 7*24*time.Hour {
		t.Errorf("it is kept for %v", ttl)
	}
	// Whatever else goes wrong is told.
	server.Do(t, "SET curfew:replay:two x")
	if err := s.Add(t.Context(), redisstore.StreamKey("two"), entries(1, 3)); !errors.Is(err, sessionstore.ErrUnavailable) {
		t.Errorf("a key of another type: %v", err)
	}
	server.Stop()
	if err := s.Add(t.Context(), key, entries(200, 201)); !errors.Is(err, sessionstore.ErrUnavailable) {
		t.Errorf("without Redis: %v", err)
	}
	if _, err := redisstore.OpenStreams("redis://:secret@%zz"); err == nil {
		t.Error("a URL that can't be")
	}
}

// TestStreamsHang: a Redis that says nothing holds nobody up for longer than its context.
func TestStreamsHang(t *testing.T) {
	s := streams(t, "redis://"+hole(t))
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := s.Add(ctx, redisstore.StreamKey("x"), entries(1, 2)); err == nil || time.Since(began) > 3*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}
