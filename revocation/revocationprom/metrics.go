package revocationprom

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// Metrics are the metrics of one replica, and the collector of them. Make them with [New]. All methods are safe for concurrent use.
type Metrics struct {
	replica atomic.Pointer[revocation.Replica]
	// status are the metrics that are read from the replica's status when they are asked for.
	status []statusMetric

	// applied: event type → counter. Neither map changes.
	applied map[string]prometheus.Counter
	skipped map[string]prometheus.Counter
	latency prometheus.Histogram

	feedLost, syncs, expired prometheus.Counter

	snapshots snapshotMetrics

	// all are the collectors of what isn't status.
	all []prometheus.Collector
}

var _ prometheus.Collector = (*Metrics)(nil)

// New returns metrics that are registered with reg, or with nothing if that is nil. It panics if reg has others of the same names and labels.
func New(reg prometheus.Registerer) *Metrics {
	m := &Metrics{status: statusMetrics()}
	m.applied = m.byLabel("applied_total", "Events applied.", "type", eventTypes()...)
	m.skipped = m.byLabel("skipped_total", "Messages of the stream that were left out and may have been revocations.", "cause", causes()...)
	m.latency = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "curfew", Subsystem: "replica", Name: "applied_latency_seconds",
		Help: "Time from when the stream stored an event to when it was applied.",
		// From a tenth of a millisecond, below which nothing is stored, to the age of what is read after an outage.
		Buckets: []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60},
	})
	m.all = append(m.all, m.latency)
	m.feedLost = m.counter("feed_lost_total", "Times that the feed was lost.")
	m.syncs = m.counter("syncs_total", "Times that the replica became synced.")
	m.expired = m.counter("expired_total", "Entries forgotten because no session can need them any more.")
	m.snapshots = m.newSnapshotMetrics()
	if reg != nil {
		reg.MustRegister(m)
	}
	return m
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "curfew", Subsystem: "replica", Name: name, Help: help})
	m.all = append(m.all, c)
	return c
}

// byLabel returns a counter for each value of a label.
func (m *Metrics) byLabel(name, help, label string, values ...string) map[string]prometheus.Counter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "curfew", Subsystem: "replica", Name: name, Help: help}, []string{label})
	m.all = append(m.all, vec)
	counters := map[string]prometheus.Counter{}
	for _, v := range values {
		counters[v] = vec.WithLabelValues(v)
	}
	return counters
}

func eventTypes() []string {
	var names []string
	for _, e := range []events.Event{
		&events.SessionRevoked{}, &events.UserLoggedOutEverywhere{}, &events.DeviceLoggedOut{}, &events.ClientLoggedOut{}, &events.TenantLoggedOut{},
	} {
		names = append(names, events.Name(e))
	}
	return names
}

// Observe shows replica from now on, in the place of one that was shown before. It stays the caller's. What stop returns ends the counting of what it
// applies, and goes on showing its status; there is no need to call it.
func (m *Metrics) Observe(replica *revocation.Replica) (stop func()) {
	m.replica.Store(replica)
	return replica.OnApplied(func(a revocation.Applied) {
		if c := m.applied[events.Name(a.Event)]; c != nil {
			c.Inc()
		}
		m.latency.Observe(a.Latency.Seconds())
	})
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(descs chan<- *prometheus.Desc) {
	for _, s := range m.status {
		descs <- s.desc
	}
	for _, c := range m.all {
		c.Describe(descs)
	}
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(metrics chan<- prometheus.Metric) {
	// What a process knows that waits for its replica to open.
	status := revocation.Status{Staleness: -1}
	if r := m.replica.Load(); r != nil {
		status = r.Status()
	}
	for _, s := range m.status {
		metrics <- prometheus.MustNewConstMetric(s.desc, s.kind, s.value(status), s.labels...)
	}
	for _, c := range m.all {
		c.Collect(metrics)
	}
}
