package telemetry_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/curfewhq/curfew/internal/telemetry"
)

// boundedLabels are the labels whose values are a fixed, small set. An id, a tenant, a path or an address is none.
var boundedLabels = []string{"type", "result", "cause", "state", "code", "outcome", "transport", "target"}

// noted keeps what is registered.
type noted struct {
	prometheus.Registerer
	collectors []prometheus.Collector
}

func (n *noted) MustRegister(cs ...prometheus.Collector) {
	n.collectors = append(n.collectors, cs...)
	n.Registerer.MustRegister(cs...)
}

// descForm is how a Desc prints, the only way to look into one.
var descForm = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: "([^"]*)",.* constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

func TestMetricsAreNamedAndBounded(t *testing.T) {
	n := &noted{Registerer: prometheus.NewRegistry()}
	telemetry.NewMetrics(n)
	if len(n.collectors) < 10 {
		t.Fatalf("%d metrics, so the test doesn't see them", len(n.collectors))
	}
	for _, c := range n.collectors {
		descs := make(chan *prometheus.Desc, 1)
		c.Describe(descs)
		desc := (<-descs).String()
		m := descForm.FindStringSubmatch(desc)
		if m == nil {
			t.Fatalf("%s doesn't read as expected", desc)
		}
		name, help, constant, labels := m[1], m[2], m[3], m[4]
		if !strings.HasPrefix(name, "curfew_") {
			t.Errorf("%s: the namespace isn't curfew", name)
		}
		if help == "" || !strings.HasSuffix(help, ".") {
			t.Errorf("%s: the help %q isn't a sentence", name, help)
		}
		if constant != "" {
			t.Errorf("%s: constant labels %s", name, constant)
		}
		for label := range strings.SplitSeq(labels, ",") {
			if label != "" && !slices.Contains(boundedLabels, label) {
				t.Errorf("%s: the label %q isn't known to be bounded", name, label)
			}
		}
		checkUnit(t, name, c)
	}
}

// checkUnit holds a name to its kind: counters end in _total, histograms in their unit.
func checkUnit(t *testing.T, name string, c prometheus.Collector) {
	t.Helper()
	switch c.(type) {
	case prometheus.Histogram:
		if !strings.HasSuffix(name, "_seconds") && !strings.HasSuffix(name, "_bytes") {
			t.Errorf("%s: a histogram without a unit", name)
		}
	case *prometheus.CounterVec:
		if !strings.HasSuffix(name, "_total") {
			t.Errorf("%s: a counter that doesn't end in _total", name)
		}
	case *prometheus.GaugeVec:
		if strings.HasSuffix(name, "_total") {
			t.Errorf("%s: a gauge that ends in _total", name)
		}
	case prometheus.Gauge: // has the methods of a Counter too
		if strings.HasSuffix(name, "_total") {
			t.Errorf("%s: a gauge that ends in _total", name)
		}
	case prometheus.Counter:
		if !strings.HasSuffix(name, "_total") {
			t.Errorf("%s: a counter that doesn't end in _total", name)
		}
	default:
		t.Errorf("%s: a %T; add its kind to this test", name, c)
	}
}

// A registry takes the metrics next to Go's own, and gathers without a fault.
func TestRegistry(t *testing.T) {
	reg := telemetry.NewRegistry()
	m := telemetry.NewMetrics(reg)
	m.Checks.WithLabelValues("active").Inc()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	for _, want := range []string{"curfew_checks_total", "curfew_fail_open_total", "curfew_publish_seconds", "go_goroutines", "process_open_fds"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s isn't gathered", want)
		}
	}
}
