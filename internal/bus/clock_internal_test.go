package bus

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Whatever the way there and back take, the true difference lies within the margin.
func TestClockFrom(t *testing.T) {
	asked := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, ahead := range []time.Duration{0, 7 * time.Second, -7 * time.Minute} {
		for _, there := range []time.Duration{0, 3 * time.Millisecond, 40 * time.Millisecond} {
			const both = 40 * time.Millisecond
			info := &jetstream.StreamInfo{TimeStamp: asked.Add(there - ahead)}
			got, err := clockFrom(asked, asked.Add(both), info)
			if off := (got.Ahead - ahead).Abs(); err != nil || got.Margin != both/2 || off > got.Margin {
				t.Errorf("%v ahead, %v there: %+v, %v", ahead, there, got, err)
			}
		}
	}
	if _, err := clockFrom(asked, asked, &jetstream.StreamInfo{}); err == nil {
		t.Error("a server that tells no time is believed")
	}
}
