package publisher_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/publisher"
)

func records(t *testing.T, r reply) []publisher.Record {
	t.Helper()
	if r.status != 200 || r.Revocations == nil {
		t.Fatalf("got %d %s", r.status, r.body)
	}
	out := make([]publisher.Record, len(r.Revocations))
	for i, b := range r.Revocations {
		if err := json.Unmarshal(b, &out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func positions(t *testing.T, r reply) []uint64 {
	t.Helper()
	out := []uint64{}
	for _, rec := range records(t, r) {
		out = append(out, rec.Position)
	}
	return out
}

// archive is a desk with seven events of acme and one of globex.
func archive(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t, natstest.Bus(t), nil)
	for i, body := range []string{
		`{"scope":"session","session":"PLANTED s1","user":"PLANTED ann","device":"PLANTED d1","client":"PLANTED c1"}`, // 1
		`{"scope":"user","user":"PLANTED ann","known_sessions":["PLANTED s1","PLANTED s2"]}`,                          // 2
		`{"scope":"session","session":"PLANTED s1","user":"PLANTED ann"}`,                                             // 3, globex
		`{"scope":"device","device":"PLANTED d1","user":"PLANTED bob"}`,                                               // 4
		`{"scope":"client","client":"PLANTED c1"}`,                                                                    // 5
		`{"scope":"session","session":"PLANTED s2"}`,                                                                  // 6
		`{"scope":"tenant"}`, // 7
		`{"scope":"session","session":"PLANTED s3","user":"PLANTED bob","reason":"compromised","reason_admin":"PLANTED why","initiator":{"type":"admin","id":"PLANTED op"}}`, // 8
	} {
		key := d.admin
		if i == 2 {
			key = d.other
		}
		if got := d.call(t, key, http.MethodPost, "/v1/revocations", body); got.status != 200 {
			t.Fatalf("%s: %s", body, got.body)
		}
	}
	return d
}

func TestHistoryFilters(t *testing.T) {
	d := archive(t)
	tests := []struct {
		query string
		want  []uint64
	}{
		{"", []uint64{1, 2, 4, 5, 6, 7, 8}},
		{"user=PLANTED ann", []uint64{1, 2}},
		{"user=PLANTED bob", []uint64{4, 8}},
		{"user=PLANTED nobody", []uint64{}},
		{"session=PLANTED s1", []uint64{1, 2}},
		{"session=PLANTED s2", []uint64{2, 6}},
		{"device=PLANTED d1", []uint64{1, 4}},
		{"client=PLANTED c1", []uint64{1, 5}},
		{"scope=session", []uint64{1, 6, 8}},
		{"scope=tenant", []uint64{7}},
		{"user=PLANTED ann&scope=user", []uint64{2}},
		{"user=PLANTED bob&session=PLANTED s1", []uint64{}},
		{"after=4", []uint64{5, 6, 7, 8}},
		{"after=0", []uint64{1, 2, 4, 5, 6, 7, 8}},
		{"after=8", []uint64{}},
		{"after=9223372036854775807", []uint64{}},
		{"limit=2", []uint64{1, 2}},
		{"since=1h", []uint64{1, 2, 4, 5, 6, 7, 8}},
		{"since=0s", []uint64{}},
		{"since=2020-01-01T00:00:00Z", []uint64{1, 2, 4, 5, 6, 7, 8}},
		{"since=2020-01-01T00:00:00Z&after=5", []uint64{6, 7, 8}},
		{"since=2999-01-01T00:00:00%2B02:00", []uint64{}},
		// The later of the two counts.
		{"since=2999-01-01T00:00:00Z&after=1", []uint64{}},
		{"follow=false&scope=user", []uint64{2}},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			got := d.call(t, d.key, http.MethodGet, "/v1/revocations?"+strings.ReplaceAll(tt.query, " ", "%20"), "")
			if diff := cmp.Diff(tt.want, positions(t, got)); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(string(got.body), "globex") {
				t.Error("another tenant's event appears")
			}
		})
	}
	got := d.call(t, d.other, http.MethodGet, "/v1/revocations?user=PLANTED%20ann", "")
	if diff := cmp.Diff([]uint64{3}, positions(t, got)); diff != "" {
		t.Error("the other tenant:", diff)
	}
}

func TestHistoryRecords(t *testing.T) {
	d := archive(t)
	msg, err := d.bus.EventAt(t.Context(), 8)
	if err != nil {
		t.Fatal(err)
	}
	got := records(t, d.call(t, d.key, http.MethodGet, "/v1/revocations?after=7", ""))[0]
	if got.Position != 8 || !got.Stored.Equal(msg.Time) || got.Stored.Location() != time.UTC {
		t.Errorf("position %d, stored %v, want %v", got.Position, got.Stored, msg.Time)
	}
	e, err := events.Decode(got.Event)
	if err != nil {
		t.Fatal(err)
	}
	if m := e.Meta(); m.ReasonAdmin != "PLANTED why" || m.Initiator.ID != "PLANTED op" {
		t.Errorf("who and why are missing: %+v", m)
	}
}

func TestHistoryPages(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	items := make([]string, 25)
	for i := range items {
		items[i] = fmt.Sprintf(`{"scope":"session","session":"PLANTED","user":"PLANTED %d"}`, i)
	}
	if got := d.revoke(t, "["+strings.Join(items, ",")+"]"); got.status != 200 {
		t.Fatal(got.Detail)
	}
	for _, limit := range []int{1, 7, 24, 25, 26} {
		var all []uint64
		query, pages := url.Values{"limit": {fmt.Sprint(limit)}, "session": {"PLANTED"}, "since": {"1h"}}, 0
		for {
			got := d.call(t, d.key, http.MethodGet, "/v1/revocations?"+query.Encode(), "")
			all = append(all, positions(t, got)...)
			if pages++; got.NextAfter == 0 {
				break
			}
			query.Set("after", fmt.Sprint(got.NextAfter))
		}
		for i, p := range all {
			if p != uint64(i+1) {
				t.Fatalf("limit %d: a gap or a repeat in %v", limit, all)
			}
		}
		if len(all) != len(items) || pages != (len(items)+limit-1)/limit {
			t.Errorf("limit %d: %d events on %d pages", limit, len(all), pages)
		}
	}
}

// A page is bounded in bytes too: 1,000 events may be half a gigabyte.
func TestHistoryPagesAreBounded(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	known := strings.TrimSuffix(strings.Repeat(`"PLANTED `+strings.Repeat("x", 240)+`",`, 1000), ",")
	const n = 40
	for range n {
		if got := d.revoke(t, `{"scope":"user","user":"PLANTED","known_sessions":[`+known+`]}`); got.status != 200 {
			t.Fatal(got.Detail)
		}
	}
	got := d.call(t, d.key, http.MethodGet, "/v1/revocations?limit=1000", "")
	first := len(positions(t, got))
	if first == 0 || first == n || len(got.body) > 10<<20 || got.NextAfter == 0 {
		t.Errorf("%d events in %d bytes, next_after %d", first, len(got.body), got.NextAfter)
	}
	rest := d.call(t, d.key, http.MethodGet, fmt.Sprint("/v1/revocations?limit=1000&after=", got.NextAfter), "")
	if first+len(positions(t, rest)) != n {
		t.Error("the next page doesn't go on")
	}
}

// Each of these would widen the answer if it were ignored.
func TestHistoryParametersAreNeverIgnored(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	for query, field := range map[string]string{
		"usr=PLANTED": "usr", "tenant=globex": "tenant", "PLANTED=1": "query", "user=": "user", "session=": "session", "device=": "device", "client=": "client",
		"user=%00": "user", "session=%ff": "session", "user=a&user=b": "user", "scope=everything": "scope", "scope=": "scope", "scope=user&scope=session": "scope",
		"since=yesterday": "since", "since=": "since", "since=-2h": "since", "after=-1": "after", "after=x": "after", "after=": "after",
		"limit=0": "limit", "limit=1001": "limit", "limit=x": "limit", "follow=yes": "follow", "follow=": "follow", "follow=true&limit=5": "limit",
		"session=%zz": "query", "session=a;user=b": "query",
	} {
		t.Run(query, func(t *testing.T) {
			got := d.call(t, d.key, http.MethodGet, "/v1/revocations?"+query, "")
			if got.status != 400 || got.Code != "invalid_parameter" || len(got.Faults) != 1 || got.Faults[0].Field != field {
				t.Errorf("got %d %s, want a fault of %s", got.status, got.body, field)
			}
			if strings.Contains(string(got.body), planted) {
				t.Error("the answer repeats what was asked")
			}
		})
	}
}

func TestHistoryWithoutServer(t *testing.T) {
	srv := natstest.Start(t)
	d := newDesk(t, natstest.Open(t, bus.Config{URL: srv.URL()}), nil)
	srv.Stop()
	for _, query := range []string{"", "?follow=true"} {
		got := d.call(t, d.key, http.MethodGet, "/v1/revocations"+query, "")
		if got.status != 503 || got.Code != "history_unavailable" || !got.Retry {
			t.Errorf("%q: got %d %s", query, got.status, got.body)
		}
	}
}

// follower reads a following answer.
type follower struct {
	body  io.ReadCloser
	lines *bufio.Reader
	leave context.CancelFunc
}

// follow returns once the answer has begun: from then on nothing is missed.
func (d *desk) follow(t *testing.T, key, query string) *follower {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/v1/revocations?follow=true&"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := d.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leave(); _ = resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
	}
	return &follower{body: resp.Body, lines: bufio.NewReader(resp.Body), leave: leave}
}

// next returns the next record's position.
func (f *follower) next() (uint64, error) {
	for {
		line, err := f.lines.ReadBytes('\n')
		if err != nil {
			return 0, err
		}
		if len(line) == 1 {
			continue
		}
		var r publisher.Record
		if err := json.Unmarshal(line, &r); err != nil {
			return 0, err
		}
		return r.Position, nil
	}
}

func (d *desk) consumers(t *testing.T) int {
	t.Helper()
	stream, err := d.bus.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Consumers
}

func TestHistoryFollow(t *testing.T) {
	for query, want := range map[string][]uint64{
		"":                   {9, 11},
		"after=0":            {1, 2, 4, 5, 6, 7, 8, 9, 11},
		"after=7":            {8, 9, 11},
		"since=1h":           {1, 2, 4, 5, 6, 7, 8, 9, 11},
		"scope=user":         {11},
		"user=PLANTED%20ann": {11},
	} {
		t.Run(query, func(t *testing.T) {
			d := archive(t)
			f := d.follow(t, d.key, query)
			d.revoke(t, `{"scope":"session","session":"PLANTED new"}`)
			d.call(t, d.other, http.MethodPost, "/v1/revocations", bodyC)
			d.revoke(t, `{"scope":"user","user":"PLANTED ann"}`)
			got := []uint64{}
			for range want {
				p, err := f.next()
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, p)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			f.leave()
			eventually(t, "nothing is left of the follower", func() bool { return d.consumers(t) == 0 })
		})
	}
}

// Nothing that is published once the answer has begun may be missed: the consumer was made behind the answer's beginning.
func TestHistoryFollowMissesNothing(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	for range 20 {
		f := d.follow(t, d.key, "")
		want := d.revoke(t, bodyA).Position
		if got, err := f.next(); err != nil || got != want {
			t.Fatalf("got %d, %v, want %d", got, err, want)
		}
		f.leave()
	}
}

// A key that is revoked stops a following answer too (trap 23).
func TestHistoryFollowEndsWithItsKey(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	text := d.newKey(t, "acme", access.ScopeRead)
	f := d.follow(t, text, "")
	first := d.revoke(t, bodyA).Position
	if got, err := f.next(); err != nil || got != first {
		t.Fatalf("got %d, %v", got, err)
	}
	parsed, _ := access.ParseText(text)
	key, _ := d.keys.Lookup(parsed)
	if _, err := d.keys.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	d.revoke(t, bodyB)
	if got, err := f.next(); err == nil {
		t.Errorf("position %d was sent to a revoked key", got)
	}
}

// An answer that breaks on the server's side must not look as if it had come to its end.
func TestHistoryFollowIsCutOffWithoutServer(t *testing.T) {
	b := natstest.Bus(t)
	d := newDesk(t, b, nil)
	f := d.follow(t, d.key, "")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.next(); err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the answer ended with %v", err)
	}
}
