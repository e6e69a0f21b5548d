package console

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
)

const (
	// sampleInterval is between two looks at the metrics, and maxSamples is how many are kept: an hour of them.
	sampleInterval = 5 * time.Second
	maxSamples     = 720
)

// Sample is what the process measured in the time since the sample before it. What it doesn't measure, for lack of the role, is 0.
type Sample struct {
	// At is in Unix milliseconds; Seconds is how long it stands for.
	At      int64   `json:"at"`
	Seconds float64 `json:"seconds"`
	// Applied counts events that the replica has applied.
	Applied float64 `json:"applied"`
	// P50 and P99 are of the time from an event's being stored to its being applied, in milliseconds; null without events.
	P50 *float64 `json:"p50"`
	P99 *float64 `json:"p99"`
	// Active, Revoked and Undetermined count checks.
	Active       float64 `json:"active"`
	Revoked      float64 `json:"revoked"`
	Undetermined float64 `json:"undetermined"`
	// WebSocket and SSE are open tabs now.
	WebSocket float64 `json:"websocket"`
	SSE       float64 `json:"sse"`
}

// samples keeps what the metrics were over the last hour, in memory: about 100 KB.
type samples struct {
	metrics prometheus.Gatherer

	mu   sync.Mutex
	kept []Sample // oldest first
}

func newSamples(metrics prometheus.Gatherer) *samples { return &samples{metrics: metrics} }

// run samples until ctx ends.
func (s *samples) run(ctx context.Context) {
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	before, at := s.read(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			next := s.read()
			s.keep(next.since(before, now, now.Sub(at)))
			before, at = next, now
		}
	}
}

func (s *samples) keep(sample Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == maxSamples {
		s.kept = append(s.kept[:0], s.kept[1:]...)
	}
	s.kept = append(s.kept, sample)
}

// after returns the samples later than a moment in Unix milliseconds.
func (s *samples) after(at int64) []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Sample{}
	for _, sample := range s.kept {
		if sample.At > at {
			out = append(out, sample)
		}
	}
	return out
}

// handleMetrics tells the samples later than the parameter after. They are of all tenants together, and so for operators.
func (s *Service) handleMetrics(w http.ResponseWriter, r *http.Request, who operator) {
	if !who.key.Has(access.ScopeOperator) {
		s.refuse(w, problem.New(http.StatusForbidden, "api_key_scope", "What the process measures is of all tenants together: it takes a key with the scope operator."))
		return
	}
	after, err := int64(0), error(nil)
	if v := r.URL.Query().Get("after"); v != "" {
		after, err = strconv.ParseInt(v, 10, 64)
	}
	if err != nil {
		s.refuse(w, problem.New(http.StatusBadRequest, "invalid_parameter", "after must be a time in Unix milliseconds."))
		return
	}
	problem.JSON(w, http.StatusOK, map[string]any{"interval_ms": sampleInterval.Milliseconds(), "samples": s.samples.after(after)})
}

// reading is what the metrics said at one moment.
type reading struct {
	applied, active, revoked, undetermined, websocket, sse float64
	latency                                                *dto.Histogram
}

// read takes what can be gathered; a collector that fails leaves out its own.
func (s *samples) read() reading {
	families, _ := s.metrics.Gather()
	var r reading
	for _, family := range families {
		for _, m := range family.GetMetric() {
			switch family.GetName() {
			case "curfew_replica_applied_total":
				r.applied += m.GetCounter().GetValue()
			case "curfew_replica_applied_latency_seconds":
				r.latency = m.GetHistogram()
			case "curfew_replica_checks_total":
				*r.byLabel(m, map[string]*float64{"active": &r.active, "revoked": &r.revoked, "undetermined": &r.undetermined}) += m.GetCounter().GetValue()
			case "curfew_conns":
				*r.byLabel(m, map[string]*float64{"websocket": &r.websocket, "sse": &r.sse}) += m.GetGauge().GetValue()
			}
		}
	}
	return r
}

// byLabel returns the place for a metric of one label.
func (r *reading) byLabel(m *dto.Metric, places map[string]*float64) *float64 {
	for _, l := range m.GetLabel() {
		if place, ok := places[l.GetValue()]; ok {
			return place
		}
	}
	return new(float64)
}

// since is what happened between two readings.
func (r reading) since(before reading, at time.Time, passed time.Duration) Sample {
	counted := func(now, then float64) float64 { return max(0, now-then) }
	return Sample{
		At: at.UnixMilli(), Seconds: passed.Seconds(), Applied: counted(r.applied, before.applied),
		P50: quantile(0.50, r.latency, before.latency), P99: quantile(0.99, r.latency, before.latency),
		Active: counted(r.active, before.active), Revoked: counted(r.revoked, before.revoked), Undetermined: counted(r.undetermined, before.undetermined),
		WebSocket: r.websocket, SSE: r.sse,
	}
}

// quantile estimates a quantile of what a histogram has counted since before, in milliseconds, as Prometheus's histogram_quantile does; nil if that is nothing. What lies
// beyond the last bound is told as that bound.
func quantile(q float64, now, before *dto.Histogram) *float64 {
	total := now.GetSampleCount() - before.GetSampleCount()
	if now == nil || now.GetSampleCount() <= before.GetSampleCount() {
		return nil
	}
	rank := q * float64(total)
	lower, below := 0.0, 0.0
	for i, b := range now.GetBucket() {
		count := float64(b.GetCumulativeCount())
		if then := before.GetBucket(); i < len(then) {
			count -= float64(then[i].GetCumulativeCount())
		}
		if upper := b.GetUpperBound(); count >= rank && !math.IsInf(upper, 1) {
			ms := upper * 1000
			if count > below {
				ms = 1000 * (lower + (upper-lower)*(rank-below)/(count-below))
			}
			return &ms
		} else if !math.IsInf(upper, 1) {
			lower, below = upper, count
		}
	}
	ms := lower * 1000
	return &ms
}
