package chain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/chain"
)

// BenchmarkMillion hashes a million events of usual size into checkpoints, and verifies them.
func BenchmarkMillion(b *testing.B) {
	const n = 1_000_000
	data := []byte(strings.Repeat("x", 560))
	header := map[string][]string{"Content-Type": {"application/cloudevents+json"}, "Nats-Msg-Id": {strings.Repeat("k", 53)}, "Curfew-Request": {strings.Repeat("r", 32)}}
	event := func(p uint64) chain.Entry {
		return chain.Entry{Position: p, Stored: epoch.Add(time.Duration(p) * time.Millisecond), Topic: "curfew.v1.default.0a.session", Header: header, Data: data}
	}
	var signed []chain.Signed
	var bytes int
	hash := func() {
		signed, bytes = nil, 0
		builder := chain.Begin("bench", chain.CauseFirst, epoch, 1)
		previous := ""
		for p := uint64(1); p <= n; p++ {
			if err := builder.Add(event(p)); err != nil {
				b.Fatal(err)
			}
			if builder.Pending() < chain.MaxEvents && p < n {
				continue
			}
			c := builder.Checkpoint(chain.Seal{Number: uint64(len(signed)) + 1, Previous: previous, Time: epoch})
			payload, err := c.Encode()
			if err != nil {
				b.Fatal(err)
			}
			builder.Sealed(c)
			previous = chain.TokenHash(string(payload))
			signed = append(signed, chain.Signed{Number: c.Number, Token: string(payload)})
			bytes += len(payload)
		}
	}
	b.Run("hash", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			hash()
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		b.ReportMetric(float64(bytes)/n, "B/event")
	})
	if signed == nil {
		hash()
	}
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w := chain.Judge(signed, chain.Trust{Open: unsigned, Now: epoch}).Walk(chain.Head{Made: epoch, First: 1, Last: n})
			for p := uint64(1); p <= n; p++ {
				if err := w.Entry(event(p)); err != nil {
					b.Fatal(err)
				}
			}
			if r := w.Report(); r.Broken > 0 || r.Events != n {
				b.Fatalf("%+v", r)
			}
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}
