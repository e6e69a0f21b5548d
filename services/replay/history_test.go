package replay_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

func positions(t *testing.T, r reply) []uint64 {
	t.Helper()
	if r.status != 200 || r.Revocations == nil {
		t.Fatalf("got %d %s", r.status, r.body)
	}
	out := []uint64{}
	for _, rec := range r.Revocations {
		out = append(out, rec.Position)
	}
	return out
}

// archive is a desk with seven events of acme and one of globex.
func archive(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t, natstest.Bus(t))
	c := func(change func(*events.Common)) events.Common {
		c := common(t)
		if change != nil {
			change(&c)
		}
		return c
	}
	now := events.Floor(time.Now())
	for _, e := range []events.Event{
		&events.SessionRevoked{Common: c(nil), Session: "PLANTED s1", User: "PLANTED ann", Device: "PLANTED d1", Client: "PLANTED c1"},                   // 1
		&events.UserLoggedOutEverywhere{Common: c(nil), User: "PLANTED ann", Cutoff: now, KnownSessions: []string{"PLANTED s1", "PLANTED s2"}},           // 2
		&events.SessionRevoked{Common: c(func(c *events.Common) { c.Tenant = "globex" }), Session: "PLANTED s1", User: "PLANTED ann"},                    // 3
		&events.DeviceLoggedOut{Common: c(nil), Device: "PLANTED d1", User: "PLANTED bob", Cutoff: now},                                                  // 4
		&events.ClientLoggedOut{Common: c(nil), Client: "PLANTED c1", Cutoff: now},                                                                       // 5
		&events.SessionRevoked{Common: c(func(c *events.Common) { c.Initiator.Type = events.InitiatorPolicy; c.Replay = "r-1" }), Session: "PLANTED s2"}, // 6
		&events.TenantLoggedOut{Common: c(nil), Cutoff: now},                                                                                             // 7
		&events.SessionRevoked{Session: "PLANTED s3", User: "PLANTED bob", Common: c(func(c *events.Common) { // 8
			c.Reason, c.ReasonAdmin, c.Initiator.ID = events.ReasonCompromised, "PLANTED why", "PLANTED op"
		})},
	} {
		d.store(t, e)
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
		{"before=5", []uint64{1, 2, 4}},
		{"before=5&after=1", []uint64{2, 4}},
		{"before=5&after=4", []uint64{}},
		{"before=5&after=6", []uint64{}},
		{"before=1", []uint64{}},
		{"until=0s", []uint64{1, 2, 4, 5, 6, 7, 8}},
		{"until=1h", []uint64{}},
		{"until=2999-01-01T00:00:00Z&before=3&since=1h", []uint64{1, 2}},
		{"reason=compromised", []uint64{8}},
		{"reason=admin&scope=session", []uint64{1, 6}},
		{"initiator=policy", []uint64{6}},
		{"initiator=user", []uint64{}},
		{"initiator_id=PLANTED op", []uint64{8}},
		{"tenant=acme&scope=tenant", []uint64{7}},
		{"order=oldest&limit=2", []uint64{1, 2}},
		{"order=newest&limit=2", []uint64{8, 7}},
		{"order=newest&limit=2&before=7", []uint64{6, 5}},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			query := strings.ReplaceAll(tt.query, " ", "%20")
			got := d.get(t, d.key, "/v1/revocations?"+query)
			if diff := cmp.Diff(tt.want, positions(t, got)); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(query, "limit") {
				whole := []uint64{}
				for _, r := range d.lines(t, d.key, query) {
					whole = append(whole, r.Position)
				}
				if diff := cmp.Diff(tt.want, whole); diff != "" {
					t.Error("as lines:", diff)
				}
				back := positions(t, d.get(t, d.key, "/v1/revocations?order=newest&"+query))
				slices.Reverse(back)
				if diff := cmp.Diff(tt.want, back); diff != "" {
					t.Error("from the newest:", diff)
				}
			}
			if strings.Contains(string(got.body), "globex") {
				t.Error("another tenant's event appears")
			}
		})
	}
	for query, want := range map[string][]uint64{
		"user=PLANTED%20ann": {1, 2}, "tenant=globex": {3}, "tenant=*": {1, 2, 3, 4, 5, 6, 7, 8}, "tenant=*&user=PLANTED%20ann": {1, 2, 3}, "tenant=globex&user=PLANTED%20ann": {3}, "tenant=nobody": {},
	} {
		if diff := cmp.Diff(want, positions(t, d.get(t, d.operator, "/v1/revocations?"+query))); diff != "" {
			t.Errorf("an operator asks %s: %s", query, diff)
		}
	}
	got := d.get(t, d.other, "/v1/revocations?user=PLANTED%20ann")
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
	got := d.get(t, d.key, "/v1/revocations?after=7").Revocations[0]
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
	d := newDesk(t, natstest.Bus(t))
	const n = 25
	for i := range n {
		d.session(t, "PLANTED", fmt.Sprintf("PLANTED %d", i))
	}
	for _, order := range []string{"oldest", "newest"} {
		for _, limit := range []int{1, 7, 24, 25, 26} {
			var all []uint64
			query, pages := url.Values{"order": {order}, "limit": {fmt.Sprint(limit)}, "session": {"PLANTED"}, "since": {"1h"}}, 0
			for more := true; more; pages++ {
				got := d.get(t, d.key, "/v1/revocations?"+query.Encode())
				all = append(all, positions(t, got)...)
				switch {
				case got.NextAfter > 0:
					query.Set("after", fmt.Sprint(got.NextAfter))
				case got.NextBefore > 0:
					query.Set("before", fmt.Sprint(got.NextBefore))
				default:
					more = false
				}
			}
			if order == "newest" {
				slices.Reverse(all)
			}
			for i, p := range all {
				if p != uint64(i+1) {
					t.Fatalf("%s, limit %d: a gap or a repeat in %v", order, limit, all)
				}
			}
			if len(all) != n || pages != (n+limit-1)/limit {
				t.Errorf("%s, limit %d: %d events on %d pages", order, limit, len(all), pages)
			}
		}
	}
}

// A page is bounded in bytes too: 1,000 events may be half a gigabyte.
func TestHistoryPagesAreBounded(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	var known []string
	for i := range 1000 {
		known = append(known, fmt.Sprintf("PLANTED %s %d", strings.Repeat("x", 240), i))
	}
	const n = 40
	for range n {
		d.store(t, &events.UserLoggedOutEverywhere{Common: common(t), User: "PLANTED", Cutoff: events.Floor(time.Now()), KnownSessions: known})
	}
	got := d.get(t, d.key, "/v1/revocations?limit=1000")
	first := len(positions(t, got))
	if first == 0 || first == n || len(got.body) > 10<<20 || got.NextAfter == 0 {
		t.Errorf("%d events in %d bytes, next_after %d", first, len(got.body), got.NextAfter)
	}
	rest := d.get(t, d.key, fmt.Sprint("/v1/revocations?limit=1000&after=", got.NextAfter))
	if first+len(positions(t, rest)) != n {
		t.Error("the next page doesn't go on")
	}
	if whole := d.lines(t, d.key, ""); len(whole) != n {
		t.Errorf("%d lines", len(whole))
	}
}

// Each of these would widen the answer if it were ignored.
func TestHistoryParametersAreNeverIgnored(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	for query, field := range map[string]string{
		"tenant=": "tenant", "tenant=ACME": "tenant", "tenant=*": "tenant", "reason=because": "reason", "initiator=me": "initiator", "initiator_id=": "initiator_id",
		"before=0": "before", "before=x": "before", "until=later": "until", "until=": "until", "order=up": "order",
		"since=1m&until=5m": "until", "since=2026-01-02T00:00:00Z&until=2026-01-02T00:00:00Z": "until", "follow=true&order=newest": "order", "follow=true&before=5": "before", "follow=true&until=1h": "until",
		"usr=PLANTED": "usr", "tenant=globex": "tenant", "PLANTED=1": "query", "user=": "user", "session=": "session", "device=": "device", "client=": "client",
		"user=%00": "user", "session=%ff": "session", "user=a&user=b": "user", "scope=everything": "scope", "scope=": "scope", "scope=user&scope=session": "scope",
		"since=yesterday": "since", "since=": "since", "since=-2h": "since", "after=-1": "after", "after=x": "after", "after=": "after",
		"limit=0": "limit", "limit=1001": "limit", "limit=x": "limit", "follow=yes": "follow", "follow=": "follow", "follow=true&limit=5": "limit",
		"session=%zz": "query", "session=a;user=b": "query",
	} {
		t.Run(query, func(t *testing.T) {
			got := d.get(t, d.key, "/v1/revocations?"+query)
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
	d := newDesk(t, natstest.Open(t, bus.Config{URL: srv.URL()}))
	srv.Stop()
	for _, query := range []string{"", "?follow=true", "?order=newest", "/stats", "/7"} {
		got := d.get(t, d.key, "/v1/revocations"+query)
		if got.status != 503 || got.Code != "history_unavailable" || !got.Retry {
			t.Errorf("%q: got %d %s", query, got.status, got.body)
		}
	}
}
