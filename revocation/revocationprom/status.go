package revocationprom

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/curfewhq/curfew/revocation"
)

// statusMetric is a metric that is read from a replica's status.
type statusMetric struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	labels []string
	value  func(revocation.Status) float64
}

func statusMetrics() []statusMetric {
	var all []statusMetric
	gauge := func(name, help string, value func(revocation.Status) float64) {
		desc := prometheus.NewDesc(prometheus.BuildFQName("curfew", "replica", name), help, nil, nil)
		all = append(all, statusMetric{desc, prometheus.GaugeValue, nil, value})
	}
	gauge("fresh", "1 if a check can be answered with active.", func(s revocation.Status) float64 { return oneIf(s.Fresh) })
	gauge("synced", "1 if everything up to the stream's end at the start has been applied.", func(s revocation.Status) float64 { return oneIf(s.Synced) })
	gauge("staleness_seconds", "Age of the proof of having applied everything; +Inf if there is none.", func(s revocation.Status) float64 {
		if s.Staleness < 0 {
			return math.Inf(1)
		}
		return s.Staleness.Seconds()
	})
	gauge("position", "Up to where the stream has been applied.", func(s revocation.Status) float64 { return float64(s.Position) })
	gauge("head", "The stream's last position when it was last asked. Position may lie beyond it: this tells no lag, staleness does.", func(s revocation.Status) float64 { return float64(s.Head) })
	gauge("sessions", "Sessions that are revoked by name.", func(s revocation.Status) float64 { return float64(s.Sessions) })
	gauge("cutoffs", "Users, devices, clients and tenants with cutoffs.", func(s revocation.Status) float64 { return float64(s.Cutoffs) })
	gauge("retention_short", "1 if the stream keeps events for less than max age and leeway.", func(s revocation.Status) float64 {
		return oneIf(s.RetentionShort)
	})
	all = append(all, statusMetric{
		prometheus.NewDesc("curfew_replica_exceptions_dropped_total", "Cutoffs that were noted without the sessions that they except.", nil, nil),
		prometheus.CounterValue, nil, func(s revocation.Status) float64 { return float64(s.ExceptionsDropped) },
	})
	checks := prometheus.NewDesc("curfew_replica_checks_total", "Checks by answer.", []string{"state"}, nil)
	for state, value := range map[revocation.State]func(revocation.Status) uint64{
		revocation.Active:       func(s revocation.Status) uint64 { return s.Active },
		revocation.Revoked:      func(s revocation.Status) uint64 { return s.Revoked },
		revocation.Undetermined: func(s revocation.Status) uint64 { return s.Undetermined },
	} {
		all = append(all, statusMetric{checks, prometheus.CounterValue, []string{state.String()}, func(s revocation.Status) float64 { return float64(value(s)) }})
	}
	return all
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
