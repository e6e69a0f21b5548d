//go:build unix

package replay_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// BenchmarkPlan plans a replay of a whole ledger, each of whose events names another session and another user, so that none of the two can be counted one by one.
func BenchmarkPlan(b *testing.B) {
	ofWholeLedgers(b, func(b *testing.B, d *desk, n int) {
		got := d.call(b, d.operator, http.MethodPost, "/v1/replays", `{"target":{"kind":"file"}}`)
		if got.plan.Events != uint64(n) || !got.plan.Estimated {
			b.Fatalf("%d %s", got.status, got.body)
		}
	})
}

// BenchmarkExport reads a whole ledger as 'curfew export' does, and throws it away.
func BenchmarkExport(b *testing.B) {
	ofWholeLedgers(b, func(b *testing.B, d *desk, n int) {
		if lines := d.readAll(b); lines != n {
			b.Fatalf("%d lines", lines)
		}
	})
}

// ofWholeLedgers measures what is done with ledgers of a quarter of a million and a million events. With -cpu 1 the embedded NATS server, the service and the caller share one core; events/cpu-s is by
// the processor's time that they took, whatever else the machine does meanwhile. peak-MB is what the heap grew by at most, the server's reading included. CURFEW_BENCH_NATS is the URL of an empty
// server to be used in the place of the embedded one: then all three figures are of the service and the caller alone.
func ofWholeLedgers(b *testing.B, do func(b *testing.B, d *desk, n int)) {
	b.Helper()
	cfg := natstest.Config(b)
	if url := os.Getenv("CURFEW_BENCH_NATS"); url != "" {
		cfg = bus.Config{URL: url}
	}
	d := newDesk(b, natstest.Open(b, cfg))
	filled := 0
	for _, n := range []int{250_000, 1_000_000} {
		d.distinctUsers(b, filled, n)
		filled = n
		b.Run(fmt.Sprint("events=", n), func(b *testing.B) {
			peak, before := growth(b), processorTime(b)
			for b.Loop() {
				do(b, d, n)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(n)*float64(b.N)/(processorTime(b)-before).Seconds(), "events/cpu-s")
			b.ReportMetric(peak(), "peak-MB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// readAll reads the whole range as lines, and counts them.
func (d *desk) readAll(b *testing.B) (lines int) {
	b.Helper()
	resp, err := d.api.Send(b.Context(), d.key, http.MethodGet, "/v1/revocations", "", "Accept", "application/x-ndjson")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(buf)
		if lines += bytes.Count(buf[:n], []byte{'\n'}); err == io.EOF {
			return lines
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// distinctUsers stores events from a number to another.
func (d *desk) distinctUsers(b *testing.B, from, to int) {
	b.Helper()
	js := d.bus.JetStream()
	for i := from; i < to; i++ {
		e := &events.SessionRevoked{Common: common(b), Session: fmt.Sprintf("5e551000-0000-7000-8000-%012d", i), User: fmt.Sprintf("u-%d", i)}
		data, err := events.Encode(e)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := js.PublishAsync(events.TopicOf(e).String(), data, jetstream.WithStallWait(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(5 * time.Minute):
		b.Fatal("the ledger isn't filled")
	}
}

// growth samples the heap until what it returns is called, and returns by how many megabytes it grew at most.
func growth(b *testing.B) (peak func() float64) {
	b.Helper()
	heap := func() float64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	runtime.GC()
	base, most := heap(), 0.0
	stop := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				most = max(most, heap()-base)
			}
		}
	})
	return sync.OnceValue(func() float64 { close(stop); work.Wait(); return most })
}

// processorTime is what this process has taken of processors so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
