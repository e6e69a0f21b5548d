package upkeep_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
)

// TestRetryOfWhatDoesHarm: an event whose cutoff no replica believed isn't stored again when it would be believed, and one that can't be marked isn't told to browsers. Both stay parked.
func TestRetryOfWhatDoesHarm(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	topic, data := event(t)
	e, err := events.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	early := &events.TenantLoggedOut{Common: *e.Meta(), Cutoff: events.Floor(time.Now().Add(2 * time.Hour))}
	believed, err := events.Encode(early)
	if err != nil {
		t.Fatal(err)
	}
	d.poison(t, events.TopicOf(early).String(), believed)
	d.poison(t, topic, bytes.Replace(data, []byte("SessionRevoked"), []byte("SessionRevokee"), 1), bytes.Replace(data, []byte("SessionRevoked.v1"), []byte("SessionRevoked.v9"), 1), data)
	for position, want := range map[string]string{"1": "no replica believed", "2": "doesn't know", "3": "doesn't know"} {
		if r := d.do(t, d.operator, "POST", "/v1/parked/"+position+"/retry"); r.status != 409 || !strings.Contains(string(r.body), want) {
			t.Errorf("%s: %d %s", position, r.status, r.body)
		}
	}
	if r := d.do(t, d.operator, "POST", "/v1/parked/4/retry"); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := d.do(t, d.operator, "GET", "/v1/parked/1"); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
}
