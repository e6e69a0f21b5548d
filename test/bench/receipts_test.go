package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/replicas"
)

// crowd are replicas over one connection, which report, and answer who waits, as processes of their own would.
type crowd struct {
	b       testing.TB
	nc      *nats.Conn
	ids     []string
	reports [][]byte
}

func newCrowd(b testing.TB, url string, n int, stream string, position uint64) *crowd {
	b.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	c := &crowd{b: b, nc: nc}
	for i := range n {
		id := fmt.Sprintf("REPLICA%05d", i)
		data, err := presence.EncodeReport(presence.Report{
			ID: id, Name: fmt.Sprintf("billing-%d", i), Group: "billing", Version: "1.4.2", Stream: stream, Position: position, Fresh: true, StalenessMS: 12, BudgetMS: 600_000,
		})
		if err != nil {
			b.Fatal(err)
		}
		c.ids, c.reports = append(c.ids, id), append(c.reports, data)
	}
	return c
}

func (c *crowd) report() {
	for _, data := range c.reports {
		if err := c.nc.Publish(presence.ReportsTopic, data); err != nil {
			c.b.Error(err)
		}
	}
}

func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // the pointer is good
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkReports reads the reports that a thousand replicas send in a second. What it reports is of a processor, for all that is done: to send them, to pass them on, and to read them.
func BenchmarkReports(b *testing.B) {
	srv := natstest.Start(b)
	nc, err := nats.Connect(srv.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	fleet, err := replicas.NewFleet(nc)
	if err != nil {
		b.Fatal(err)
	}
	defer fleet.Close()
	if err := nc.Flush(); err != nil {
		b.Fatal(err)
	}
	crowd := newCrowd(b, srv.URL(), 1_000, "CURFEW@1", 1)
	began, n := processor(), uint64(0)
	for b.Loop() {
		crowd.report()
		for n += 1_000; fleet.Heard() < n; {
			if err := crowd.nc.Flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	if len(fleet.Members()) != 1_000 {
		b.Fatalf("%d replicas were heard", len(fleet.Members()))
	}
	second := (processor() - began).Seconds() / float64(b.N)
	b.ReportMetric(100*second, "%core@1000/s")
}

// BenchmarkWaited publishes a revocation over HTTP and waits for the ledger alone, or for replicas to have applied it: one process's, and with a thousand more that answer.
func BenchmarkWaited(b *testing.B) {
	for _, others := range []int{0, 12, 1_000} {
		for _, wait := range []string{"stored", "applied"} {
			b.Run(fmt.Sprintf("replicas=%d/wait=%s", 1+others, wait), func(b *testing.B) { benchmarkWaited(b, others, wait) })
		}
	}
}

func benchmarkWaited(b *testing.B, others int, wait string) {
	srv := natstest.Start(b)
	cfg := config.Default()
	cfg.DataDir, cfg.Listen, cfg.AdminListen, cfg.NATS.URL = b.TempDir(), "127.0.0.1:0", "", srv.URL()
	log := logrus.New()
	log.SetOutput(io.Discard)
	s, err := server.Start(b.Context(), cfg, server.Options{Log: log})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Stop(b.Context()) }()
	key, err := os.ReadFile(s.AdminKeyFile())
	if err != nil {
		b.Fatal(err)
	}
	if others > 0 {
		answering(b, srv.URL(), others, s.Replica().Status().Made)
	}
	client := &http.Client{}
	publish := func(n int, wait string) (whole bool) {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, s.URL()+"/v1/revocations?wait="+wait, bytes.NewReader(fmt.Appendf(nil, `{"scope":"session","session":"s-%d","user":"u-%d"}`, n, n)))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(key)))
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("%s: %v: %.400s", resp.Status, err, answer)
		}
		return wait != "applied" || bytes.Contains(answer, fmt.Appendf(nil, `"expected":%d,"applied":%d`, 1+others, 1+others))
	}
	for deadline := time.Now().Add(30 * time.Second); !publish(0, "applied"); {
		if time.Now().After(deadline) {
			b.Fatal("not all replicas are heard")
		}
	}
	var took []time.Duration
	for n := 1; b.Loop(); n++ {
		began := time.Now()
		if !publish(n, wait) {
			b.Fatal("a replica is missing")
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// answering are replicas that have applied whatever somebody waits for.
func answering(b *testing.B, url string, n int, stream string) {
	b.Helper()
	c := newCrowd(b, url, n, stream, 1)
	if _, err := c.nc.Subscribe(presence.AwaitTopic, func(msg *nats.Msg) {
		a, err := presence.DecodeAwait(msg.Data)
		for i := 0; i < n && err == nil; i++ {
			var data []byte
			if data, err = presence.EncodeApplied(presence.Applied{ID: c.ids[i], Stream: stream, Position: a.Position}); err == nil {
				err = c.nc.Publish(presence.AppliedTopic, data)
			}
		}
		if err != nil {
			b.Error(err)
		}
	}); err != nil {
		b.Fatal(err)
	}
	c.report()
	if err := c.nc.Flush(); err != nil {
		b.Fatal(err)
	}
}
