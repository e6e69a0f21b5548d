package bus_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

func TestMarshalForm(t *testing.T) {
	msg := message.NewMessage("u-1", []byte("body"))
	msg.Metadata.Set("Content-Type", "application/cloudevents+json")
	msg.Metadata.Set("traceparent", "00-1-2-01")
	got, err := bus.Marshal(topic, msg)
	if err != nil {
		t.Fatal(err)
	}
	want := &nats.Msg{Subject: topic, Data: []byte("body"), Header: nats.Header{
		"Content-Type": {"application/cloudevents+json"},
		"traceparent":  {"00-1-2-01"},
		nats.MsgIdHdr:  {"u-1"},
	}}
	if diff := cmp.Diff(want.Header, got.Header); diff != "" || got.Subject != want.Subject || string(got.Data) != "body" {
		t.Errorf("marshal: %s %s", got.Subject, diff)
	}
	msg.Metadata.Set(bus.MsgIDKey, "key-7/abc")
	if got, err = bus.Marshal(topic, msg); err != nil || got.Header.Get(nats.MsgIdHdr) != "key-7/abc" || got.Header.Get(bus.UUIDHeader) != "u-1" {
		t.Errorf("message id from metadata: %v, %v", got, err)
	}
	msg.Metadata.Set(bus.MsgIDKey, "u-1")
	if got, err = bus.Marshal(topic, msg); err != nil || got.Header.Get(nats.MsgIdHdr) != "u-1" || got.Header.Get(bus.UUIDHeader) != "" {
		t.Errorf("message id from metadata that is the UUID: %v, %v", got, err)
	}
}

func TestMarshalRefuses(t *testing.T) {
	tests := []struct{ name, topic, key, value string }{
		{"roll-up", topic, "Nats-Rollup", "all"},
		{"roll-up, other case", topic, "NATS-ROLLUP", "all"},
		{"ttl", topic, "Nats-TTL", "1s"},
		{"expectation", topic, "Nats-Expected-Last-Sequence", "1"},
		{"own header", topic, "curfew-message-uuid", "x"},
		{"status", topic, "Status", "503"},
		{"line break in value", topic, "a", "b\r\nNats-Rollup: all"},
		{"line feed in value", topic, "a", "b\n"},
		{"line break in key", topic, "a\r\nNats-Rollup", "all"},
		{"colon in key", topic, "a:b", "c"},
		{"empty key", topic, "", "c"},
		{"empty message id", topic, bus.MsgIDKey, ""},
		{"line break in message id", topic, bus.MsgIDKey, "a\r\nb: c"},
		{"wildcard", "curfew.v1.*.3f.session", "a", "b"},
		{"full wildcard", "curfew.>", "a", "b"},
		{"space", "curfew v1", "a", "b"},
		{"empty topic", "", "a", "b"},
		{"empty token", "curfew..v1", "a", "b"},
		{"server's own", "$JS.API.STREAM.PURGE.CURFEW", "a", "b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			msg := message.NewMessage("u", nil)
			msg.Metadata.Set(tt.key, tt.value)
			if m, err := bus.Marshal(tt.topic, msg); !errors.Is(err, bus.ErrInvalid) {
				t.Errorf("got %v, %v; want ErrInvalid", m, err)
			}
		})
	}
	if _, err := bus.Marshal(topic, message.NewMessage("u\r\nNats-Rollup: all", nil)); !errors.Is(err, bus.ErrInvalid) {
		t.Errorf("line break in the UUID: %v", err)
	}
	if _, err := bus.Marshal(topic, nil); !errors.Is(err, bus.ErrInvalid) {
		t.Errorf("nil message: %v", err)
	}
}

// TestMarshalRoundTrip sends arbitrary messages through a real connection: what arrives equals what was sent.
func TestMarshalRoundTrip(t *testing.T) {
	key := rapid.StringMatching(`[A-Za-z][A-Za-z0-9_-]{0,12}`).Filter(func(s string) bool {
		l := strings.ToLower(s)
		return !strings.HasPrefix(l, "nats-") && l != "status" && l != strings.ToLower(bus.UUIDHeader)
	})
	value := rapid.StringMatching(`[!-~äß世]{0,8}( [!-~]{1,8})?`).Filter(func(s string) bool { return s == strings.TrimSpace(s) })
	nc := natstest.Bus(t).Conn()
	sub, err := nc.SubscribeSync("round.trip")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := message.NewMessage(rapid.StringMatching(`[a-z0-9-]{1,36}`).Draw(t, "uuid"), rapid.SliceOf(rapid.Byte()).Draw(t, "payload"))
		for k, v := range rapid.MapOf(key, value).Draw(t, "metadata") {
			want.Metadata.Set(k, v)
		}
		m, err := bus.Marshal("round.trip", want)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
		if m, err = sub.NextMsg(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		if got := bus.Unmarshal(m.Header, m.Data); !got.Equals(want) {
			t.Fatalf("got %v %v %q, want %v %v %q", got.UUID, got.Metadata, got.Payload, want.UUID, want.Metadata, want.Payload)
		}
	})
}

func TestUnmarshalForeign(t *testing.T) {
	header := nats.Header{
		"Two":          {"one", "and two"},
		"Nats-Msg-Id":  {"theirs"},
		"Nats-TTL":     {"1m"},
		"Nats-Rollup":  {"all"},
		"Content-Type": {"x"},
	}
	got := bus.Unmarshal(header, []byte("p"))
	want := message.Metadata{"Two": "one, and two", "Content-Type": "x"}
	if diff := cmp.Diff(want, got.Metadata); diff != "" || got.UUID != "theirs" {
		t.Errorf("uuid %q, metadata %s", got.UUID, diff)
	}
	if m, err := bus.Marshal(topic, got); err != nil || m.Header.Get(nats.MsgIdHdr) != "theirs" {
		t.Errorf("publish again: %v, %v", m, err)
	}
	if got := bus.Unmarshal(nil, nil); got.UUID != "" || len(got.Metadata) != 0 {
		t.Errorf("nothing: %+v", got)
	}
}
