package replay_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
)

// fill stores n events of acme, of a thousandth as many users.
func (d *desk) fill(b *testing.B, n int) {
	b.Helper()
	js := d.bus.JetStream()
	for i := range n {
		e := &events.SessionRevoked{Common: common(b), Session: fmt.Sprintf("5e551000-0000-7000-8000-%012d", i), User: fmt.Sprintf("u-%d", i%(n/1000))}
		data, err := events.Encode(e)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := js.PublishAsync(events.TopicOf(e).String(), data); err != nil {
			b.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(5 * time.Minute):
		b.Fatal("the ledger isn't filled")
	}
}

// BenchmarkHistory reads a ledger of a million events: a user's newest hundred, all thousand of a user, and everything.
func BenchmarkHistory(b *testing.B) {
	const n = 1_000_000
	d := newDesk(b, natstest.Bus(b))
	d.fill(b, n)
	for _, bench := range []struct {
		name, query string
		events      int
	}{
		{"newest=100", "order=newest&limit=100&user=u-%d", 100}, {"user=1000", "limit=1000&user=u-%d", 1000},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for i := range b.N {
				got := d.get(b, d.key, "/v1/revocations?"+fmt.Sprintf(bench.query, i%(n/1000)))
				if len(got.Revocations) != bench.events {
					b.Fatalf("%d events", len(got.Revocations))
				}
			}
		})
	}
	for _, path := range []string{"/v1/revocations", "/v1/revocations/stats"} {
		b.Run("all="+path[len("/v1/revocations"):], func(b *testing.B) {
			for range b.N {
				resp, err := d.api.Send(b.Context(), d.key, http.MethodGet, path, "", "Accept", "application/x-ndjson")
				if err != nil {
					b.Fatal(err)
				}
				read, err := io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if err != nil || read == 0 {
					b.Fatal(read, err, d.log.String())
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkPast asks what is in force of a tenant with a million revoked sessions, of one of its users, and what changed: a page of a hundred.
func BenchmarkPast(b *testing.B) {
	const n = 1_000_000
	d := newDesk(b, natstest.Bus(b))
	d.fill(b, n)
	for _, bench := range []struct{ name, path string }{
		{"state=tenant", "/v1/state"}, {"state=user", "/v1/state?user=u-7&limit=1000"}, {"diff=tenant", "/v1/diff?from=1h"}, {"diff=user", "/v1/diff?from=1h&user=u-7&limit=1000"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for range b.N {
				resp, err := d.api.Send(b.Context(), d.key, http.MethodGet, bench.path, "")
				if err != nil {
					b.Fatal(err)
				}
				read, err := io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if err != nil || read < 10_000 || resp.StatusCode != http.StatusOK {
					b.Fatal(resp.StatusCode, read, err, d.log.String())
				}
			}
		})
	}
}
