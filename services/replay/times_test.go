package replay_test

import (
	"net/url"
	"testing"

	"github.com/curfewhq/curfew/internal/natstest"
)

// TestTimesAtTheEnds: dates that JSON, or a zero time, can't tell are answered or refused, and neither is nothing nor everything.
func TestTimesAtTheEnds(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	d.session(t, "PLANTED s", "PLANTED ann")
	late := d.explain(t, d.key, url.Values{"session": {"x"}, "user": {"x"}, "auth_time": {"9999-12-31T23:59:59Z"}})
	if late.State != "undetermined" || !late.MaxAgeAt.IsZero() {
		t.Errorf("%+v", late)
	}
	for path, field := range map[string]string{
		"/v1/explain?session=x&at=0001-01-01T00:00:00Z": "at", "/v1/explain?session=x&at=0000-01-01T00:00:00%2B01:00": "at", "/v1/revocations?until=0001-01-01T00:00:00Z": "until",
		"/v1/revocations/stats?until=0001-01-01T00:00:00Z": "until", "/v1/revocations?since=1600-01-01T00:00:00Z": "since",
	} {
		if got := d.get(t, d.key, path); got.status != 400 || len(got.Faults) != 1 || got.Faults[0].Field != field {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := positions(t, d.get(t, d.key, "/v1/revocations?since=2000000h")); len(got) != 1 {
		t.Errorf("since two centuries ago: %v", got)
	}
	if got := positions(t, d.get(t, d.key, "/v1/revocations?until=2000000h")); len(got) != 0 {
		t.Errorf("until two centuries ago: %v", got)
	}
	if got := d.get(t, d.key, "/v1/revocations/ffffffff-ffff-7fff-bfff-ffffffffffff"); got.status != 404 {
		t.Errorf("an id of the year 10889: %d %s", got.status, got.body)
	}
}
