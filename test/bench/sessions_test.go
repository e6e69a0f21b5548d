package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-redis/redis/v8"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/config"
)

const (
	// userSessions is how many sessions a user has.
	userSessions = 3
	// batch is how many sessions are touched at once.
	batch = 1000
	// signingIn is how many sign in at once while the registry is filled.
	signingIn = 32
	firefox   = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
)

// BenchmarkRegistry asks a whole server, over HTTP and one connection, about a registry of 100,000 users with three sessions each (CURFEW_BENCH_USERS changes that): users and
// sessions at random, one question after the other. Touches are all later than those before, so that each has something to store.
func BenchmarkRegistry(b *testing.B) {
	users := 100_000
	if text := os.Getenv("CURFEW_BENCH_USERS"); text != "" {
		var err error
		if users, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("store=jetstream", func(b *testing.B) { benchRegistry(b, users, nil) })
	b.Run("store=redis", func(b *testing.B) { benchRegistry(b, users, startRedis(b)) })
}

func benchRegistry(b *testing.B, users int, in *redisServer) {
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.DataDir = "127.0.0.1:0", "", b.TempDir()
	cfg.Sessions.IdleTimeout = 12 * time.Hour
	if in != nil {
		cfg.Redis.URL = "redis://" + in.addr
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	srv, err := server.Start(b.Context(), cfg, server.Options{Log: log})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = srv.Stop(ctx)
	}()
	_, key := accesstest.Key(b, srv.Keys(), "acme", access.ScopeSessions)
	r := &registryBench{url: srv.URL(), key: key, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: signingIn}}, users: users}
	before := int64(0)
	if in != nil {
		before = usedMemory(b, in.addr)
	}
	began := time.Now()
	r.fill(b)
	registered := float64(users*userSessions) / time.Since(began).Seconds()
	b.Run("call=list", func(b *testing.B) {
		r.measure(b, func() time.Duration { return r.list(b) })
		// Of what was before, told once.
		b.ReportMetric(registered, "registered/s")
		if in != nil {
			b.ReportMetric(float64(usedMemory(b, in.addr)-before)/float64(users*userSessions), "B/session")
		}
	})
	b.Run("call=touch-"+strconv.Itoa(batch), func(b *testing.B) { r.measure(b, func() time.Duration { return r.touch(b) }) })
}

// usedMemory is what a Redis says that it uses.
func usedMemory(b *testing.B, addr string) int64 {
	b.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	info, err := client.Info(b.Context(), "memory").Result()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatal("INFO has no used_memory")
	return 0
}

type registryBench struct {
	url, key string
	client   *http.Client
	users    int
}

// fill signs everybody in.
func (r *registryBench) fill(b *testing.B) {
	var work sync.WaitGroup
	for w := range signingIn {
		work.Go(func() {
			for i := w; i < r.users*userSessions; i += signingIn {
				body := fmt.Sprintf(`{"session":%q,"user":"user-%d","device":"device-%d","user_agent":%q,"ip":"203.0.113.%d"}`, sessionName(i), i/userSessions, i, firefox, i%250)
				if err := r.call(http.MethodPost, "/v1/sessions", body, http.StatusCreated, nil); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// sessionName is as long as a UUID.
func sessionName(i int) string { return fmt.Sprintf("5e551000-0000-7000-8000-%012d", i) }

// list lists a user's sessions, and touch touches a batch; both return how long that took.
func (r *registryBench) list(b *testing.B) time.Duration {
	user := rand.IntN(r.users)
	began := time.Now()
	var got struct{ Sessions []struct{ State string } }
	if err := r.call(http.MethodGet, fmt.Sprintf("/v1/users/user-%d/sessions", user), "", http.StatusOK, &got); err != nil {
		b.Fatal(err)
	}
	if len(got.Sessions) != userSessions || got.Sessions[0].State != "active" {
		b.Fatalf("user %d: %+v", user, got)
	}
	return time.Since(began)
}

func (r *registryBench) touch(b *testing.B) time.Duration {
	var body bytes.Buffer
	body.WriteString(`{"touches":[`)
	for i, s := range rand.Perm(r.users * userSessions)[:batch] {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"session":%q}`, sessionName(s))
	}
	body.WriteString(`]}`)
	began := time.Now()
	var got struct{ Results []struct{ Result string } }
	if err := r.call(http.MethodPost, "/v1/sessions/touch", body.String(), http.StatusOK, &got); err != nil {
		b.Fatal(err)
	}
	for _, result := range got.Results {
		if result.Result != "touched" {
			b.Fatal(result)
		}
	}
	return time.Since(began)
}

func (r *registryBench) call(method, path, body string, want int, into any) error {
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+r.key)
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		return fmt.Errorf("%s %s: %d %.200s %w", method, path, resp.StatusCode, answer, err)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// measure reports the median and the 99th percentile of what ask takes.
func (r *registryBench) measure(b *testing.B, ask func() time.Duration) {
	took := make([]time.Duration, b.N)
	for i := range took {
		took[i] = ask()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[min(len(took)*99/100, len(took)-1)].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}
