package contract

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/google/go-cmp/cmp"
)

// testRevocationStream validates the frames of a stream one by one: kin-openapi knows no server-sent events, and no answer without an end.
func (r *rig) testRevocationStream(t *testing.T) {
	for _, body := range []string{
		`{"scope":"session","session":"x","user":"ann","device":"d","client":"c"}`, `{"scope":"user","user":"ann","except":["a"],"known_sessions":["b"]}`,
		`{"scope":"device","device":"d","user":"ann"}`, `{"scope":"client","client":"c"}`, `{"scope":"tenant","cutoff":"2001-01-01T00:00:00Z","expires_at":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}`,
	} {
		r.do(t, exchange{method: "POST", path: "/v1/revocations", body: body, auth: r.full, status: 200})
	}
	seen := map[string]bool{}
	for _, query := range []string{"", "?since=1000000000"} {
		frames := r.openStream(t, query)
		for !seen["beat"] || query != "" && !seen["reset"] {
			event, scope := r.frame(t, frames)
			seen[event], seen[scope] = true, true
		}
	}
	delete(seen, "")
	want := map[string]bool{"revocation": true, "synced": true, "beat": true, "reset": true, "session": true, "user": true, "device": true, "client": true, "tenant": true}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("frames and scopes (-want +got):\n%s", diff)
	}
}

// openStream opens a stream and holds the answer's head to the document.
func (r *rig) openStream(t *testing.T, query string) *bufio.Reader {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.srv.URL()+"/v1/revocations/stream"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.check)
	route, params, err := r.router.FindRoute(req)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leave(); _ = resp.Body.Close() })
	r.validate(t, &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route, Options: &openapi3filter.Options{ExcludeResponseBody: true, IncludeResponseStatus: true},
	}, resp, nil)
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("%d %s", resp.StatusCode, got)
	}
	return bufio.NewReader(resp.Body)
}

// frame reads a frame, holds it to its schema, and returns its event and, for a revocation, its scope.
func (r *rig) frame(t *testing.T, lines *bufio.Reader) (event, scope string) {
	t.Helper()
	schemas := map[string]string{"revocation": "StreamedRevocation", "synced": "StreamSynced", "beat": "StreamBeat", "reset": "StreamReset"}
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if name, found := strings.CutPrefix(line, "event: "); found {
			event = strings.TrimSpace(name)
		}
		data, found := strings.CutPrefix(line, "data: ")
		if !found {
			continue
		}
		var v map[string]any
		if err := json.Unmarshal([]byte(data), &v); err != nil {
			t.Fatal(err)
		}
		schema := r.doc.Components.Schemas[schemas[event]]
		if schema == nil {
			t.Fatalf("the event %q isn't documented", event)
		}
		if err := schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("a frame isn't as documented: %v\n%s", err, line)
		}
		scope, _ = v["scope"].(string)
		return event, scope
	}
}
