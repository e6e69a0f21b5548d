package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are Curfew's metrics, but for those of the replica, which are revocationprom's. Every label has a fixed, small set of values.
type Metrics struct {
	// Published counts revocations by event type and result: stored, duplicate, refused, not_stored, unknown.
	Published *prometheus.CounterVec
	// RegistryMissed counts calls that were published without what the session registry would have added.
	RegistryMissed prometheus.Counter
	// ReceiptsLost counts receipts that couldn't be kept.
	ReceiptsLost prometheus.Counter
	// PublishSeconds is the time from the call to the stream's acknowledgement.
	PublishSeconds prometheus.Histogram
	// Beats counts beats written, by result: ok, skipped, failed.
	Beats *prometheus.CounterVec
	// Checks counts decisions by state.
	Checks *prometheus.CounterVec
	// FailOpen counts requests that passed although the answer was undetermined.
	FailOpen prometheus.Counter
	// Refused counts refused API calls by code.
	Refused *prometheus.CounterVec
	// Conns is the number of open conns by transport: websocket, sse.
	Conns *prometheus.GaugeVec
	// ConnsClosed counts closed conns by close code.
	ConnsClosed *prometheus.CounterVec
	// Notices counts notices sent, by type.
	Notices *prometheus.CounterVec
	// Acks counts acknowledgements of tabs by outcome.
	Acks *prometheus.CounterVec
	// Tickets counts tickets by result: issued, used, or why one was refused: forged, malformed, expired, early, other_origin, used_before, too_old (issued before NATS
	// was started anew, which may have forgotten its use), unknown (NATS didn't answer).
	Tickets *prometheus.CounterVec
	// Streams is the number of open streams of revocations.
	Streams prometheus.Gauge
	// StreamsEnded counts streams of revocations that have ended, by cause: left, slow, key_revoked, draining, reset (the ledger isn't the one that it was), failed.
	StreamsEnded *prometheus.CounterVec
	// SnapshotElected is 1 while this process is the one that saves snapshots for all.
	SnapshotElected prometheus.Gauge
	// ReplaysEnded counts replays that have ended in this process, by state: done, cancelled, failed; ReplaysSent counts events that were sent by replays, by kind of target.
	ReplaysEnded, ReplaysSent *prometheus.CounterVec
}

// NewRegistry returns a registry with Go's and the process's own metrics.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "curfew", Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "curfew", Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	m := &Metrics{
		Published: vec("published_total", "Revocations by event type and result.", "type", "result"),
		PublishSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "curfew", Name: "publish_seconds", Help: "Time from a publish to the stream's acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		RegistryMissed: counter("registry_missed_total", "Revocations published without what the session registry would have added."),
		ReceiptsLost:   counter("receipts_lost_total", "Receipts that couldn't be kept."),
		Beats:          vec("beats_total", "Beats by result.", "result"),
		Checks:         vec("checks_total", "Decisions by state.", "state"),
		FailOpen:       counter("fail_open_total", "Requests passed although undetermined."),
		Refused:        vec("refused_total", "Refused API calls by code.", "code"),
		Conns:          prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "curfew", Name: "conns", Help: "Open conns by transport."}, []string{"transport"}),
		ConnsClosed:    vec("conns_closed_total", "Closed conns by close code.", "code"),
		Notices:        vec("notices_total", "Notices sent by type.", "type"),
		Acks:           vec("acks_total", "Acknowledgements of tabs by outcome.", "outcome"),
		Tickets:        vec("tickets_total", "Tickets by result: issued, used, or why one was refused.", "result"),
		Streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "curfew", Name: "revocation_streams", Help: "Open streams of revocations.",
		}),
		StreamsEnded: vec("revocation_streams_ended_total", "Ended streams of revocations by cause.", "cause"),
		ReplaysEnded: vec("replays_ended_total", "Replays that have ended in this process, by state.", "state"),
		ReplaysSent:  vec("replays_sent_total", "Events that replays have sent, by kind of target.", "target"),
		SnapshotElected: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "curfew", Name: "snapshot_elected", Help: "1 while this process is the one that saves snapshots for all.",
		}),
	}
	reg.MustRegister(m.PublishSeconds, m.Conns, m.Streams, m.SnapshotElected)
	return m
}
