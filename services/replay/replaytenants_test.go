package replay_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/replay"
)

// TestReplayOfOneIDInTwoTenants: an id is of its tenant alone, so that a receiver that drops what it has, as a stream does, loses neither event.
func TestReplayOfOneIDInTwoTenants(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	shadow, err := d.bus.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "SHADOW", Subjects: []string{"shadow.>"}, Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	first := common(t)
	second := first
	second.Tenant = "globex"
	for _, c := range []events.Common{first, second} {
		d.store(t, &events.SessionRevoked{Common: c, Session: "s"})
	}
	d.run(t)
	id := d.order(t, `{"execute":true,"filter":{"tenant":"*"},"target":{"kind":"topic","topic":"shadow.events"}}`)
	if got := d.await(t, id, replay.StateDone); got.Sent != 2 {
		t.Errorf("%+v", got)
	}
	if info, err := shadow.Info(t.Context()); err != nil || info.State.Msgs != 2 {
		t.Errorf("the stream has %d: %v", info.State.Msgs, err)
	}
}
