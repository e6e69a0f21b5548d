package server_test

import (
	"bytes"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// rule is an alert of a file of Prometheus.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// TestPrometheusRules: each alert says what is wrong and what to do, and is on metrics that a process has.
func TestPrometheusRules(t *testing.T) {
	data, err := os.ReadFile("../../../deploy/prometheus/curfew.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	srv := natstest.Start(t)
	b := natstest.Open(t, bus.Config{URL: srv.URL()})
	released(t, b, "canary")
	released(t, b, "audit")
	cfg := testConfig(t)
	cfg.NATS.URL, cfg.Canary = srv.URL(), true
	s := start(t, cfg)
	await(t, "what the rules are on", func() bool {
		return metric(t, s, `curfew_canary_probes_total{result="ok"}`) != "" && metric(t, s, `curfew_audit_chains_total{cause="first"}`) != ""
	})
	_, metrics := get(t, http.DefaultClient, s.AdminURL()+"/metrics")
	names, label := regexp.MustCompile(`curfew_[a-z_]+`), regexp.MustCompile(`\{(\w+)!?=`)
	seen := map[string]bool{}
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			if r.Alert == "" || seen[r.Alert] || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s %q lacks something, or is there twice", group.Name, r.Alert)
			}
			seen[r.Alert] = true
			found := names.FindAllString(r.Expr, -1)
			if len(found) == 0 || strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") {
				t.Errorf("%s: %s", r.Alert, r.Expr)
			}
			for _, name := range found {
				if !strings.Contains(metrics, "\n"+name+" ") && !strings.Contains(metrics, "\n"+name+"{") {
					t.Errorf("%s: no process has %s", r.Alert, name)
				}
			}
			for _, m := range label.FindAllStringSubmatch(r.Expr, -1) {
				if !strings.Contains(metrics, "{"+m[1]+"=") && !strings.Contains(metrics, ","+m[1]+"=") {
					t.Errorf("%s: no metric has the label %s", r.Alert, m[1])
				}
			}
		}
	}
	if len(seen) < 5 {
		t.Errorf("%d alerts", len(seen))
	}
}
