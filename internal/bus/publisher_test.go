package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

func TestPublishDuplicate(t *testing.T) {
	b := natstest.Bus(t)
	p := b.Publisher()
	msg := newMessage("one")
	first := mustStore(t, p, msg)
	again := mustStore(t, p, msg)
	other := mustStore(t, p, newMessage("two"))
	want := []bus.Ack{{Position: 1, Stream: bus.LedgerStream}, {Position: 1, Duplicate: true, Stream: bus.LedgerStream}, {Position: 2, Stream: bus.LedgerStream}}
	if diff := cmp.Diff(want, []bus.Ack{first, again, other}); diff != "" {
		t.Error(diff)
	}
	raw, err := b.EventAt(t.Context(), 1)
	if err != nil || string(raw.Data) != "one" || raw.Subject != topic {
		t.Errorf("event at 1: %v, %v", raw, err)
	}
	if _, err := b.EventAt(t.Context(), 3); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("event at 3: %v", err)
	}
	if s := b.Stats(); s.Stored != 3 || s.Duplicates != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestPublishAll(t *testing.T) {
	b := natstest.Bus(t)
	p := b.Publisher()
	var topics []string
	var msgs []*message.Message
	for i := range bus.MaxBatch {
		topics = append(topics, topic)
		msgs = append(msgs, newMessage(fmt.Sprint(i)))
	}
	topics[10] = "nobody.listens"
	msgs[20].Metadata.Set("Nats-Rollup", "all")
	msgs[40] = msgs[30]
	acks, errs := p.PublishAll(t.Context(), topics, msgs)
	if !errors.Is(errs[10], bus.ErrNotStored) || !errors.Is(errs[20], bus.ErrInvalid) {
		t.Errorf("errors: %v; %v", errs[10], errs[20])
	}
	if !acks[40].Duplicate || acks[40].Position != acks[30].Position {
		t.Errorf("duplicate in the batch: %+v, %+v", acks[30], acks[40])
	}
	last := uint64(0)
	for i, ack := range acks {
		if i == 10 || i == 20 || i == 40 {
			continue
		}
		if errs[i] != nil || ack.Position != last+1 {
			t.Fatalf("message %d: %+v after %d, %v", i, ack, last, errs[i])
		}
		last = ack.Position
	}
}

func TestPublishAllRefuses(t *testing.T) {
	p := natstest.Bus(t).Publisher()
	one := []*message.Message{newMessage("x")}
	over := make([]*message.Message, bus.MaxBatch+1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name   string
		ctx    context.Context
		topics []string
		msgs   []*message.Message
		want   error
	}{
		{"too many", t.Context(), make([]string, len(over)), over, bus.ErrInvalid},
		{"topics missing", t.Context(), nil, one, bus.ErrInvalid},
		{"nil message", t.Context(), []string{topic}, []*message.Message{nil}, bus.ErrInvalid},
		{"context over", ended, []string{topic}, one, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			acks, errs := p.PublishAll(tt.ctx, tt.topics, tt.msgs)
			if len(acks) != len(tt.msgs) || len(errs) != len(tt.msgs) {
				t.Fatalf("%d acks, %d errors for %d messages", len(acks), len(errs), len(tt.msgs))
			}
			for _, err := range errs {
				if !errors.Is(err, tt.want) || !errors.Is(err, bus.ErrNotStored) {
					t.Fatalf("got %v, want %v and ErrNotStored", err, tt.want)
				}
			}
		})
	}
}

func TestPublishErrors(t *testing.T) {
	b := natstest.Bus(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	large := newMessage(strings.Repeat("x", 2<<20))
	closed := b.Publisher()
	_ = closed.Close()
	tests := []struct {
		name  string
		p     *bus.Publisher
		ctx   context.Context
		topic string
		msg   *message.Message
		want  []error
	}{
		{"no stream", b.Publisher(), t.Context(), "nobody.listens", newMessage("x"), []error{bus.ErrNotStored}},
		{"too large", b.Publisher(), t.Context(), topic, large, []error{bus.ErrNotStored, bus.ErrInvalid}},
		{"wildcard", b.Publisher(), t.Context(), "curfew.v1.>", newMessage("x"), []error{bus.ErrNotStored, bus.ErrInvalid}},
		{"context over", b.Publisher(), ended, topic, newMessage("x"), []error{bus.ErrNotStored, context.Canceled}},
		{"publisher closed", closed, t.Context(), topic, newMessage("x"), []error{bus.ErrNotStored, bus.ErrClosed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.p.PublishAck(tt.ctx, tt.topic, tt.msg)
			for _, want := range tt.want {
				if !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			}
			if errors.Is(err, bus.ErrUnknownOutcome) {
				t.Errorf("%v is of unknown outcome too", err)
			}
		})
	}
}

func TestPublishStopsAtTheFirstError(t *testing.T) {
	b := natstest.Bus(t)
	bad := newMessage("bad")
	bad.Metadata.Set("Nats-Rollup", "all")
	err := b.Publisher().Publish(topic, newMessage("1"), bad, newMessage("3"))
	if !errors.Is(err, bus.ErrInvalid) || !strings.HasPrefix(err.Error(), "message 2 of 3: ") {
		t.Errorf("error: %v", err)
	}
	if s := b.Stats(); s.Stored != 1 || s.NotStored != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestPublishIntoFullStream(t *testing.T) {
	cfg := natstest.Config(t)
	cfg.MaxBytes = 64 << 10
	b := natstest.Open(t, cfg)
	p := b.Publisher()
	var stored uint64
	for {
		ack, err := p.PublishAck(t.Context(), topic, newMessage(strings.Repeat("x", 1000)))
		if err == nil {
			stored = ack.Position
			continue
		}
		if !errors.Is(err, bus.ErrFull) || !errors.Is(err, bus.ErrNotStored) || !strings.Contains(err.Error(), "raise max bytes") {
			t.Fatalf("got %v, want ErrFull", err)
		}
		break
	}
	if stored < 40 {
		t.Errorf("full after %d messages", stored)
	}
	if _, err := b.EventAt(t.Context(), 1); err != nil {
		t.Errorf("the oldest event is gone: %v", err)
	}
	_, errs := p.PublishAll(t.Context(), []string{topic}, []*message.Message{newMessage(strings.Repeat("x", 1000))})
	if !errors.Is(errs[0], bus.ErrFull) {
		t.Errorf("publish all: %v", errs[0])
	}
	if s := b.Stats(); s.Full != 2 {
		t.Errorf("stats: %+v", s)
	}
}

func TestPublisherCloseWaitsAndIsIdempotent(t *testing.T) {
	b := natstest.Bus(t)
	p := b.Publisher()
	var work sync.WaitGroup
	for range 20 {
		work.Go(func() {
			for {
				if err := p.Publish(topic, newMessage("x")); err != nil {
					if !errors.Is(err, bus.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	eventually(t, 10*time.Second, "some messages stored", func() bool { return b.Stats().Stored > 100 })
	for range 3 {
		work.Go(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
}

// TestCloseOfAStalledPublisher waits for the publish under way, and refuses the next one at once: it must not queue behind the first.
func TestCloseOfAStalledPublisher(t *testing.T) {
	srv := natstest.Start(t)
	proxy := natstest.NewProxy(t, srv.Addr())
	b := natstest.Open(t, bus.Config{URL: proxy.URL()})
	p := b.Publisher()
	mustStore(t, p, newMessage("before"))
	proxy.Stall()
	before := b.Conn().Stats().OutMsgs
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	sent, closed := make(chan error, 1), make(chan error, 1)
	go func() { _, err := p.PublishAck(ctx, topic, newMessage("on its way")); sent <- err }()
	eventually(t, 10*time.Second, "it is on its way", func() bool { return b.Conn().Stats().OutMsgs > before })
	go func() { closed <- p.Close() }()
	eventually(t, 10*time.Second, "the publisher is closed", func() bool {
		soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := p.PublishAck(soon, topic, newMessage("refused"))
		return errors.Is(err, bus.ErrClosed)
	})
	_, errs := p.PublishAll(t.Context(), []string{topic}, []*message.Message{newMessage("refused")})
	if !errors.Is(errs[0], bus.ErrClosed) || !errors.Is(errs[0], bus.ErrNotStored) {
		t.Errorf("publish all: %v", errs[0])
	}
	select {
	case err := <-closed:
		t.Errorf("closed (%v) while a publish was under way", err)
	default:
	}
	proxy.Heal()
	if err := receive(t, sent, "acknowledgement"); err != nil {
		t.Errorf("the publish under way: %v", err)
	}
	if err := receive(t, closed, "end of close"); err != nil {
		t.Error(err)
	}
}

func TestCloseIsIdempotentAndRaces(t *testing.T) {
	b := natstest.Bus(t)
	p := b.Publisher()
	sub, err := b.NewSubscriber(bus.SubscriberConfig{})
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := sub.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
		work.Go(func() { _ = p.Publish(topic, newMessage("x")) })
	}
	work.Go(func() {
		for m := range msgs {
			m.Ack()
		}
	})
	work.Wait()
	if err := p.Publish(topic, newMessage("x")); !errors.Is(err, bus.ErrClosed) || !errors.Is(err, bus.ErrNotStored) {
		t.Errorf("publish after close: %v", err)
	}
	if _, err := b.NewSubscriber(bus.SubscriberConfig{}); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("subscriber after close: %v", err)
	}
	if _, err := sub.Subscribe(t.Context(), topic); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("subscribe after close: %v", err)
	}
}
