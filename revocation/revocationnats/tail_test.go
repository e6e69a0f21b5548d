package revocationnats

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
)

// positions is a sink that notes what it is told to have reached.
type positions struct {
	revocation.Sink
	beats, reached []uint64
}

func (p *positions) Beat(at revocation.Place) { p.beats = append(p.beats, at.Position) }
func (p *positions) Reach(position uint64)    { p.reached = append(p.reached, position) }

// beatAt is a beat from a consumer, the number-th that it delivers, whose copy of the stream ends there.
func beatAt(position, number uint64) received {
	return received{at: place{position, time.Now()}, beat: true, number: number}
}

// ledgerOf returns a feed of a stream with n beats, of which those at gone are removed.
func ledgerOf(t *testing.T, n uint64, gone []uint64, domain string) *Feed {
	t.Helper()
	srv := natstest.Run(t, natstest.With(func(o *server.Options) { o.JetStreamDomain = domain }))
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if domain != "" {
		js, err = jetstream.NewWithDomain(nc, domain)
	}
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "CURFEW", Subjects: []string{"curfew.v1.>"}, AllowDirect: true})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := js.Publish(t.Context(), events.TopicBeat, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, seq := range gone {
		if err := stream.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	return NewFeed(js, Config{})
}

func TestGone(t *testing.T) {
	f := ledgerOf(t, 6, []uint64{4, 5, 6}, "")
	for _, tt := range []struct {
		name           string
		position, last uint64
		want           bool
	}{
		{"the whole tail", 3, 6, true},
		{"a part of the tail", 3, 5, true},
		{"one is left", 2, 6, false},
		{"all are left", 0, 3, false},
		{"what is left lies beyond", 0, 0, true},
		{"at the end", 6, 6, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := f.gone(t.Context(), tt.position, tt.last)
			if err != nil || got != tt.want {
				t.Errorf("gone(%d, %d) = %t, %v; want %t", tt.position, tt.last, got, err, tt.want)
			}
		})
	}
	t.Run("no stream", func(t *testing.T) {
		if err := f.js.DeleteStream(t.Context(), "CURFEW"); err != nil {
			t.Fatal(err)
		}
		if got, err := f.gone(t.Context(), 3, 6); got || err == nil {
			t.Errorf("gone = %t, %v; want an error", got, err)
		}
	})
	t.Run("in a domain", func(t *testing.T) {
		f := ledgerOf(t, 2, []uint64{2}, "hub")
		if got, err := f.gone(t.Context(), 1, 2); err != nil || !got {
			t.Errorf("gone = %t, %v; want true", got, err)
		}
	})
}

// A consumer beside a copy of the stream that lags has nothing pending though the leader has more: the replica must not believe that it
// has reached the head, or it would call itself synced, and skip the rest for ever once it follows again.
func TestLaggingConsumerReachesNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		gone []uint64
		want []uint64
	}{
		{"the leader has more", nil, nil},
		{"the leader has one more", []uint64{5, 6}, nil},
		{"the rest was removed", []uint64{4, 5, 6}, []uint64{6}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := ledgerOf(t, 6, tt.gone, "")
			first, err := f.read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			sink := &positions{}
			d := newDelivery(f, sink, 0, first)
			if err := d.take(beatAt(3, 1)); err != nil {
				t.Fatal(err)
			}
			select {
			case <-d.tail:
			default:
				t.Fatal("nobody is asked what the end means")
			}
			if err := d.reach(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(sink.beats, []uint64{3}) || !slices.Equal(sink.reached, tt.want) {
				t.Errorf("beats %v, reached %v; want 3 and %v", sink.beats, sink.reached, tt.want)
			}
		})
	}
}

// Trap 11: a hole in the consumer's own count is a message that was lost on the way.
func TestHoleInTheCountIsAGap(t *testing.T) {
	sink := &positions{}
	d := newDelivery(NewFeed(nil, Config{}), sink, 0, reading{})
	for i, m := range []received{beatAt(3, 1), beatAt(7, 2)} {
		if err := d.take(m); err != nil {
			t.Fatalf("message %d: %v, want nil: positions may have holes", i, err)
		}
	}
	if err := d.take(beatAt(8, 4)); !errors.Is(err, ErrGap) {
		t.Errorf("take = %v, want ErrGap", err)
	}
	if !slices.Equal(sink.beats, []uint64{3, 7}) {
		t.Errorf("delivered %v, want nothing after the gap", sink.beats)
	}
}
