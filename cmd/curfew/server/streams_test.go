package server_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/access"
)

// A server that stops ends streams of revocations at once, and tells when to come back.
func TestStopEndsRevocationStreams(t *testing.T) {
	s, err := try(t, testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t, s, "default", access.ScopeCheck)
	ctx, leave := context.WithTimeout(t.Context(), 30*time.Second)
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/v1/revocations/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	client := &http.Client{Transport: &http.Transport{}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("got %d", resp.StatusCode)
	}
	began := time.Now()
	stop(t, s)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stopping took %v", took)
	}
	body, err := io.ReadAll(resp.Body)
	if said := strings.TrimSpace(string(body)); err != nil || !strings.HasPrefix(said[strings.LastIndex(said, "\n")+1:], "retry: ") {
		t.Errorf("the stream ended with %v after %s", err, body)
	}
}
