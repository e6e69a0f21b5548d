package main

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redis/redis/v8"

	"github.com/curfewhq/curfew/revocation"
)

// redisEntries are the sizes of BenchmarkAgainstRedis.
var redisEntries = []count{10_000, 1_000_000}

// BenchmarkAgainstRedis asks whether sessions are revoked, of whom 99.9 % aren't: a replica, with a whole Check of five parts, and a Redis on this machine
// with EXISTS of the session alone. ns/op is the time that passes for each answer: of one who asks after another, or of sixteen at once.
func BenchmarkAgainstRedis(b *testing.B) {
	for _, n := range redisEntries {
		b.Run("entries="+n.String(), func(b *testing.B) {
			of := revocations{n: n, mix: "sessions", until: time.Now()}
			b.Run("set=curfew", func(b *testing.B) {
				replica, err := revocation.Open(b.Context(), revocation.Config{Feed: newFeed(of)})
				if err != nil {
					b.Fatal(err)
				}
				defer replica.Close()
				began := time.Now().Add(-time.Hour)
				ask(b, int(n), func(id string) (bool, error) {
					d := replica.Check(revocation.Session{ID: id, User: id[8:], Device: id[:16], Client: "web", AuthTime: began})
					return d.State == revocation.Revoked, d.Cause
				})
			})
			runtime.GC()
			server := startRedis(b)
			server.fill(b, int(n))
			for _, link := range []struct{ name, network, addr string }{{"redis-tcp", "tcp", server.addr}, {"redis-unix", "unix", server.socket}} {
				b.Run("set="+link.name, func(b *testing.B) {
					client := redis.NewClient(&redis.Options{Network: link.network, Addr: link.addr, PoolSize: askers})
					defer client.Close()
					ask(b, int(n), func(id string) (bool, error) {
						found, err := client.Exists(b.Context(), redisPrefix+id).Result()
						return found == 1, err
					})
				})
			}
		})
	}
}

const (
	// askers is how many ask at once.
	askers = 16
	// redisPrefix is what keys are given that share a Redis with others.
	redisPrefix = "rev:"
)

// ask measures one who asks, and many.
func ask(b *testing.B, n int, revoked func(id string) (bool, error)) {
	var wrong, failed atomic.Int64
	one := func(q *questions) {
		id, want := q.next()
		switch got, err := revoked(id); {
		case err != nil:
			failed.Add(1)
		case got != want:
			wrong.Add(1)
		}
	}
	b.Run("askers=1", func(b *testing.B) {
		q := &questions{n: uint64(n), x: 1}
		for b.Loop() {
			one(q)
		}
	})
	b.Run(fmt.Sprintf("askers=%d", askers), func(b *testing.B) {
		var seed atomic.Uint64
		b.SetParallelism((askers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			q := &questions{n: uint64(n), x: seed.Add(1)}
			for pb.Next() {
				one(q)
			}
		})
	})
	if wrong.Load() > 0 || failed.Load() > 0 {
		b.Fatalf("%d wrong answers, %d failures", wrong.Load(), failed.Load())
	}
}

// questions makes session ids: one of 1,024 is revoked.
type questions struct {
	n, x uint64
	id   [32]byte
}

// next returns an id, and whether it is revoked.
func (q *questions) next() (string, bool) {
	q.x = q.x*6364136223846793005 + 1442695040888963407
	i, revoked := q.x>>16|1<<47, q.x>>54 == 0
	if revoked {
		i = q.x >> 16 % q.n
	}
	putSessionID(q.id[:], i)
	return string(q.id[:]), revoked
}

// redisServer is a server that listens on loopback and on a socket, and writes nothing to the disk.
type redisServer struct{ addr, socket string }

// startRedis starts one that ends with the benchmark.
func startRedis(b *testing.B) *redisServer {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &redisServer{addr: l.Addr().String(), socket: filepath.Join(b.TempDir(), "redis.sock")}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--unixsocket", s.socket,
		"--save", "", "--appendonly", "no", "--dir", b.TempDir())
	if err := cmd.Start(); err != nil {
		b.Fatalf("start a Redis (Debian's package redis-server): %v", err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket})
	defer client.Close()
	for deadline := time.Now().Add(20 * time.Second); ; {
		err := client.Ping(b.Context()).Err()
		if err == nil {
			return s
		}
		if time.Now().After(deadline) {
			b.Fatalf("Redis doesn't answer: %v", err)
		}
	}
}

// fill stores n sessions.
func (s *redisServer) fill(b *testing.B, n int) {
	b.Helper()
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket})
	defer client.Close()
	const batch = 1000
	for from := 0; from < n; from += batch {
		pairs := make([]any, 0, 2*batch)
		for i := from; i < min(from+batch, n); i++ {
			pairs = append(pairs, redisPrefix+sessionID(i), "1")
		}
		if err := client.MSet(b.Context(), pairs...).Err(); err != nil {
			b.Fatal(err)
		}
	}
	if got := client.DBSize(b.Context()).Val(); got != int64(n) {
		b.Fatalf("Redis holds %d keys, want %d", got, n)
	}
}
