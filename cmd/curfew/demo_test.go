package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/cmd/curfew/latency"
)

func TestDemoServesItsPage(t *testing.T) {
	out, stop := background(t, "demo", "--listen", "127.0.0.1:0")
	await(t, out, "command  curfew events tail")
	page := regexp.MustCompile(`Open (\S+) in`).FindStringSubmatch(out.String())[1]
	resp, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the page answers %d with %v", resp.StatusCode, resp.Header)
	}
	console := regexp.MustCompile(`console  (\S+/console/), with the key in \S+admin\.key\n`).FindStringSubmatch(out.String())
	if console == nil {
		t.Fatalf("it doesn't tell of the console:\n%s", out)
	}
	if resp, err = http.Get(console[1]); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the console answers %d", resp.StatusCode)
	}
	// Logout CSRF: another site's page can't log anybody out (trap 32).
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, page+"/log-out", strings.NewReader(`{"scope":"everywhere"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if resp, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a cross-site logout got %d, want 403", resp.StatusCode)
	}
	// DNS rebinding: another name that leads here isn't this application.
	if req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, page, nil); err != nil {
		t.Fatal(err)
	}
	req.Host = "rebound.example.com"
	if resp, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("another host got %d, want 421", resp.StatusCode)
	}
	http.DefaultClient.CloseIdleConnections()
	if code := stop(); code != exitDone {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestDemoStaysOnLoopback(t *testing.T) {
	if _, stderr, code := command(t, "demo", "--listen", "0.0.0.0:7090"); code != exitUsage || !strings.Contains(stderr, "loopback") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestDemoBenchMeasuresEachStep(t *testing.T) {
	var report latency.Report
	if err := json.Unmarshal([]byte(must(t, "demo", "--bench", "--rounds", "5", "--json")), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Lines) != 6 {
		t.Fatalf("got %d lines, want 6: %+v", len(report.Lines), report)
	}
	for _, l := range report.Lines {
		if l.N != 5 || l.P50 <= 0 || l.Max < l.P99 || l.P99 < l.P50 {
			t.Errorf("not a distribution of 5: %+v", l)
		}
	}
}
