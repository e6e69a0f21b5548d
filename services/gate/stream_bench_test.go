package gate_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
)

// BenchmarkStreamSnapshot reads a whole ledger over HTTP, on one machine with the ledger, the gate and the reader: CURFEW_BENCH_EVENTS revocations, or
// 100,000. peak-MB is by how much the whole process grew meanwhile: what NATS keeps of the files that it has just read, for some seconds. The stream itself
// holds less than a megabyte of it, as a profile of the heap shows.
func BenchmarkStreamSnapshot(b *testing.B) {
	n := 100_000
	if text := os.Getenv("CURFEW_BENCH_EVENTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	s := newStation(b, natstest.Bus(b), nil)
	s.fill(b, n)
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := before.HeapInuse
	for b.Loop() {
		st := s.open(b, s.acme, "")
		lines, count := bufio.NewReaderSize(st.resp.Body, 64<<10), 0
		for {
			line, err := lines.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if bytes.HasPrefix(line, []byte("event: synced")) {
				break
			}
			if bytes.HasPrefix(line, []byte("event: revocation")) {
				if count++; count%10_000 == 0 {
					runtime.ReadMemStats(&now)
					peak = max(peak, now.HeapInuse)
				}
			}
		}
		if count != n {
			b.Fatalf("%d revocations, want %d", count, n)
		}
		st.leave()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(peak-before.HeapInuse)/(1<<20), "peak-MB")
	b.ReportMetric(0, "ns/op")
}

// fill stores revocations of sessions and waits until the replica has them.
func (s *station) fill(b *testing.B, n int) {
	b.Helper()
	js, err := jetstream.New(s.bus.Conn(), jetstream.WithPublishAsyncMaxPending(4000))
	if err != nil {
		b.Fatal(err)
	}
	var last jetstream.PubAckFuture
	for i := range n {
		e := revokedIn(b, "acme", fmt.Sprintf("session-%024d", i))
		e.User, e.ReasonAdmin, e.ReasonUser = fmt.Sprintf("user-%09d", i), "", ""
		data, err := events.Encode(e)
		if err != nil {
			b.Fatal(err)
		}
		if last, err = js.PublishMsgAsync(&nats.Msg{Subject: events.TopicOf(e).String(), Data: data}, jetstream.WithStallWait(patience)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	select {
	case ack := <-last.Ok():
		if err := s.replica.WaitFor(b.Context(), ack.Sequence); err != nil {
			b.Fatal(err)
		}
	case err := <-last.Err():
		b.Fatal(err)
	case <-time.After(patience):
		b.Fatal("the last event isn't acknowledged")
	}
}
