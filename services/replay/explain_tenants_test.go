package replay_test

import (
	"strconv"
	"testing"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
)

// TestExplainTellsNoOthersTimes: when a message was stored that isn't the key's tenant's is nothing to it, nor whose it was. An operator's may ask.
func TestExplainTellsNoOthersTimes(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	own := d.session(t, "PLANTED s", "")
	c := common(t)
	c.Tenant = "globex"
	others := d.store(t, &events.SessionRevoked{Common: c, Session: "PLANTED s"})
	beat, err := d.bus.JetStream().Publish(t.Context(), events.TopicBeat, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(key string, at uint64) reply {
		return d.get(t, key, "/v1/explain?session=x&at="+strconv.FormatUint(at, 10))
	}
	if got := ask(d.key, own); got.status != 200 {
		t.Errorf("its own: %d %s", got.status, got.body)
	}
	theirs, nobodys := ask(d.key, others), ask(d.key, beat.Sequence)
	if theirs.status != 400 || nobodys.status != 400 || string(theirs.body) != string(nobodys.body) {
		t.Errorf("another tenant's position: %d %s, and a beat's: %d %s", theirs.status, theirs.body, nobodys.status, nobodys.body)
	}
	for _, at := range []uint64{own, others, beat.Sequence} {
		if got := ask(d.operator, at); got.status != 200 {
			t.Errorf("an operator at %d: %d %s", at, got.status, got.body)
		}
	}
}
