package bus_test

import (
	"io"
	"log"
	"os"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/internal/bus"
)

// childEnv makes this test binary run a child process of a test instead of the tests.
const childEnv = "CURFEW_BUS_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(publishForever(dir))
	}
	log.SetOutput(io.Discard) // Watermill's suite logs each of its steps
	goleak.VerifyTestMain(m)
}

// topic is an event's, as events.Topic writes it.
const topic = "curfew.v1.acme.3f.session"

func newMessage(payload string) *message.Message {
	return message.NewMessage(watermill.NewUUID(), []byte(payload))
}

// mustStore publishes a message that has to be stored.
func mustStore(t *testing.T, p *bus.Publisher, msg *message.Message) bus.Ack {
	t.Helper()
	ack, err := p.PublishAck(t.Context(), topic, msg)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// eventually waits for something that gives no signal of its own.
func eventually(t *testing.T, within time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s", within, what)
		case <-tick.C:
		}
	}
}

// receive takes one value, or fails the test.
func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v, ok := <-from:
		if !ok {
			t.Fatalf("channel closed instead of %s", what)
		}
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("no %s within 20 s", what)
	}
	panic("unreachable")
}
