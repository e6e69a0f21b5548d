package revocationprom

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// Hooks returns hooks that count, and call those of also that aren't nil. They suit one replica at a time.
func (m *Metrics) Hooks(also revocation.Hooks) revocation.Hooks {
	h := also
	h.Skipped = func(position uint64, err error) {
		m.skipped[cause(err)].Inc()
		if also.Skipped != nil {
			also.Skipped(position, err)
		}
	}
	h.FeedLost = func(err error, retryIn time.Duration) {
		m.feedLost.Inc()
		if also.FeedLost != nil {
			also.FeedLost(err, retryIn)
		}
	}
	h.Synced = func(position uint64) {
		m.syncs.Inc()
		if also.Synced != nil {
			also.Synced(position)
		}
	}
	h.Expired = func(n int) {
		m.expired.Add(float64(n))
		if also.Expired != nil {
			also.Expired(n)
		}
	}
	return m.snapshotHooks(h, also)
}

// causes are the values of the label cause.
func causes() []string {
	return []string{"unknown_type", "unknown_version", "foreign_topic", "cutoff_in_future", "invalid", "malformed"}
}

// cause is why a message was left out.
func cause(err error) string {
	var invalid *events.InvalidError
	switch {
	case errors.Is(err, events.ErrUnknownType):
		return "unknown_type"
	case errors.Is(err, events.ErrUnknownVersion):
		return "unknown_version"
	case errors.Is(err, events.ErrForeignTopic):
		return "foreign_topic"
	case errors.Is(err, revocation.ErrCutoffInFuture):
		return "cutoff_in_future"
	case errors.As(err, &invalid):
		return "invalid"
	}
	return "malformed"
}

// snapshotMetrics are the metrics of snapshots. Counters are there from the start, gauges once there is something to show.
type snapshotMetrics struct {
	loads, saves                                     *prometheus.CounterVec
	position, timestamp, bytes, entries, saveSeconds *prometheus.GaugeVec
}

func (m *Metrics) newSnapshotMetrics() snapshotMetrics {
	counter := func(name, help string, results ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "curfew", Subsystem: "snapshot", Name: name, Help: help}, []string{"place", "result"})
		m.all = append(m.all, c)
		for _, p := range places() {
			for _, r := range results {
				c.WithLabelValues(p, r)
			}
		}
		return c
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "curfew", Subsystem: "snapshot", Name: name, Help: help}, []string{"place"})
		m.all = append(m.all, g)
		return g
	}
	return snapshotMetrics{
		loads:       counter("loads_total", "Snapshots that were found at the start.", "loaded", "refused"),
		saves:       counter("saves_total", "Attempts to save a snapshot.", "saved", "failed"),
		position:    gauge("saved_position", "The last position that the last saved snapshot holds for sure."),
		timestamp:   gauge("saved_timestamp_seconds", "When the last snapshot was saved, in Unix time."),
		bytes:       gauge("saved_bytes", "Size of the last saved snapshot."),
		entries:     gauge("saved_entries", "Sessions and cutoffs in the last saved snapshot."),
		saveSeconds: gauge("save_duration_seconds", "How long it took to save the last snapshot."),
	}
}

// places are the values of the label place.
func places() []string { return []string{"file", "nats", "other"} }

// place is the label for a place by what it says of itself, such as file:/var/lib/curfew/replica.snapshot.
func place(said string) string {
	if kind, _, _ := strings.Cut(said, ":"); slices.Contains(places(), kind) {
		return kind
	}
	return "other"
}

// snapshotHooks adds to h what counts snapshots and calls also.
func (m *Metrics) snapshotHooks(h, also revocation.Hooks) revocation.Hooks {
	h.SnapshotLoaded = func(from string, info revocation.SnapshotInfo) {
		m.snapshots.loads.WithLabelValues(place(from), "loaded").Inc()
		if also.SnapshotLoaded != nil {
			also.SnapshotLoaded(from, info)
		}
	}
	h.SnapshotRefused = func(from string, err error) {
		m.snapshots.loads.WithLabelValues(place(from), "refused").Inc()
		if also.SnapshotRefused != nil {
			also.SnapshotRefused(from, err)
		}
	}
	h.SnapshotSaved = func(to string, info revocation.SnapshotInfo, took time.Duration) {
		s, p := m.snapshots, place(to)
		s.saves.WithLabelValues(p, "saved").Inc()
		s.position.WithLabelValues(p).Set(float64(info.Position))
		s.timestamp.WithLabelValues(p).SetToCurrentTime()
		s.bytes.WithLabelValues(p).Set(float64(info.Bytes))
		s.entries.WithLabelValues(p).Set(float64(info.Entries))
		s.saveSeconds.WithLabelValues(p).Set(took.Seconds())
		if also.SnapshotSaved != nil {
			also.SnapshotSaved(to, info, took)
		}
	}
	h.SnapshotFailed = func(to string, err error) {
		m.snapshots.saves.WithLabelValues(place(to), "failed").Inc()
		if also.SnapshotFailed != nil {
			also.SnapshotFailed(to, err)
		}
	}
	return h
}
