package console

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// measured are the metrics that the samples are of, as the process registers them.
type measured struct {
	reg     *prometheus.Registry
	applied *prometheus.CounterVec
	checks  *prometheus.CounterVec
	conns   *prometheus.GaugeVec
	latency prometheus.Histogram
}

func measure() measured {
	reg := prometheus.NewRegistry()
	f := promauto.With(reg)
	return measured{
		reg: reg, applied: f.NewCounterVec(prometheus.CounterOpts{Name: "curfew_replica_applied_total"}, []string{"type"}),
		checks: f.NewCounterVec(prometheus.CounterOpts{Name: "curfew_replica_checks_total"}, []string{"state"}), conns: f.NewGaugeVec(prometheus.GaugeOpts{Name: "curfew_conns"}, []string{"transport"}),
		latency: f.NewHistogram(prometheus.HistogramOpts{Name: "curfew_replica_applied_latency_seconds", Buckets: []float64{0.001, 0.002, 0.004}}),
	}
}

// A sample is of its own five seconds, and after an hour the oldest go.
func TestSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := measure()
		m.applied.WithLabelValues("SessionRevoked").Add(100) // from before
		m.latency.Observe(0.003)
		s := newSamples(m.reg)
		began := time.Now().UnixMilli()
		go s.run(t.Context())
		synctest.Wait()
		m.applied.WithLabelValues("SessionRevoked").Add(3)
		m.applied.WithLabelValues("TenantLoggedOut").Add(1)
		m.checks.WithLabelValues("active").Add(7)
		m.checks.WithLabelValues("revoked").Add(2)
		m.conns.WithLabelValues("websocket").Set(5)
		m.conns.WithLabelValues("sse").Set(1)
		for range 4 {
			m.latency.Observe(0.0015)
		}
		<-time.After(sampleInterval)
		synctest.Wait()
		p50, p99 := 1.5, 1.99
		want := []Sample{{At: began + 5000, Seconds: 5, Applied: 4, P50: &p50, P99: &p99, Active: 7, Revoked: 2, WebSocket: 5, SSE: 1}}
		if diff := cmp.Diff(want, s.after(0), about()); diff != "" {
			t.Error(diff)
		}
		<-time.After(sampleInterval)
		synctest.Wait()
		if diff := cmp.Diff([]Sample{{At: began + 10_000, Seconds: 5, WebSocket: 5, SSE: 1}}, s.after(began+5000), about()); diff != "" {
			t.Error("without anything:", diff)
		}
		<-time.After(maxSamples * sampleInterval)
		synctest.Wait()
		if all := s.after(0); len(all) != maxSamples || all[0].At <= began+10_000 || all[maxSamples-1].At != time.Now().UnixMilli() {
			t.Errorf("%d are kept, from %d", len(all), all[0].At-began)
		}
	})
}

func about() cmp.Option {
	return cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })
}

func TestQuantile(t *testing.T) {
	for _, tt := range []struct {
		name     string
		observed []float64 // in seconds
		p50, p99 float64   // in milliseconds
	}{
		{"all in the first", []float64{0.0005, 0.0006}, 0.5, 0.99},
		{"spread", []float64{0.0005, 0.0015, 0.003, 0.003}, 2, 3.96},
		{"beyond the last bound", []float64{0.0005, 1, 1, 1}, 4, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := measure()
			s := newSamples(m.reg)
			m.latency.Observe(0.0001) // from before
			before := s.read()
			for _, v := range tt.observed {
				m.latency.Observe(v)
			}
			got := s.read().since(before, time.Now(), time.Second)
			if got.P50 == nil || got.P99 == nil || math.Abs(*got.P50-tt.p50) > 0.011 || math.Abs(*got.P99-tt.p99) > 0.011 {
				t.Errorf("got %v %v", *got.P50, *got.P99)
			}
		})
	}
	if quantile(0.5, nil, nil) != nil {
		t.Error("nothing was measured")
	}
}
