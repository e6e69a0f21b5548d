package revocationtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/events"
)

func inOrderWithoutGaps(t *testing.T, h Harness) {
	const n = 300
	want := make([]uint64, 0, n)
	for i := range n / 2 {
		want = append(want, h.Publish(event(i)))
	}
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	for i := n / 2; i < n; i++ {
		want = append(want, h.Publish(event(i)))
	}
	r.wait(t, "the last event", func(calls []call) bool { return position(calls) >= want[n-1] })
	f.stop(t)
	checkEvents(t, r.all(), want, 0)
}

func afterPosition(t *testing.T, h Harness) {
	var want []uint64
	for i := range 20 {
		want = append(want, h.Publish(event(i)))
	}
	for _, skip := range []int{7, 19, 20} {
		t.Run(fmt.Sprintf("%d of 20", skip), func(t *testing.T) {
			r := newRecorder(want[skip-1])
			f := follow(t, h.Feed(), r)
			more := h.Publish(event(len(want)))
			want = append(want, more)
			r.wait(t, "the new event", func(calls []call) bool { return position(calls) >= more })
			f.stop(t)
			checkEvents(t, r.all(), want[skip:], skip)
		})
	}
}

func againAfterPosition(t *testing.T, h Harness) {
	var want []uint64
	var got []call
	after := uint64(0)
	for round := range 4 {
		r := newRecorder(after)
		f := follow(t, h.Feed(), r)
		for i := range 25 {
			want = append(want, h.Publish(event(25*round+i)))
		}
		r.wait(t, "some of the events", func(calls []call) bool { return position(calls) > after })
		f.stop(t)
		got = append(got, r.all()...)
		after = position(got)
	}
	r := newRecorder(after)
	f := follow(t, h.Feed(), r)
	last := h.Publish(event(len(want)))
	want = append(want, last)
	r.wait(t, "the last event", func(calls []call) bool { return position(calls) >= last })
	f.stop(t)
	checkEvents(t, append(got, r.all()...), want, 0)
}

func skips(t *testing.T, h Harness) {
	encoded, err := events.Encode(event(1))
	if err != nil {
		t.Fatal(err)
	}
	topic := events.TopicOf(event(1))
	retype := func(typ string) []byte {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(encoded, &m); err != nil {
			t.Fatal(err)
		}
		m["type"] = json.RawMessage(`"` + typ + `"`)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	foreign := topic
	foreign.Tenant = "another"
	cases := []struct {
		name  string
		topic events.Topic
		data  []byte
		want  error
	}{
		{"garbage", topic, []byte("\x00no event"), events.ErrMalformed},
		{"nothing", topic, nil, events.ErrMalformed},
		{"an unknown type", topic, retype("io.github.curfewhq.Unheard.v1"), events.ErrUnknownType},
		{"a newer version", topic, retype(strings.TrimSuffix(events.Type(event(1)), "1") + "2"), events.ErrUnknownVersion},
		{"another tenant's topic", foreign, encoded, events.ErrForeignTopic},
	}
	positions := make([]uint64, len(cases))
	for i, c := range cases {
		positions[i] = h.PublishRaw(c.topic.String(), c.data)
	}
	last := h.Publish(event(2))
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	r.wait(t, "the event behind what can't be read", func(calls []call) bool { return position(calls) >= last })
	f.stop(t)
	delivered := r.all()[1:]
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := delivered[i]
			if got.what != "skip" || got.place.Position != positions[i] || !errors.Is(got.err, c.want) {
				t.Errorf("got %s at %d with error %v; want skip at %d with %v", got.what, got.place.Position, got.err, positions[i], c.want)
			}
		})
	}
}
