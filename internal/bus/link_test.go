package bus_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// TestBlackHoledLink stops a link from forwarding without closing it. Publishing ends with its caller's deadline, the dead
// link is noticed in seconds, and everything works again after it heals.
func TestBlackHoledLink(t *testing.T) {
	proxy := natstest.NewProxy(t, natstest.Start(t).Addr())
	b := natstest.Open(t, bus.Config{URL: proxy.URL()})
	p := b.Publisher()
	mustStore(t, p, newMessage("before"))

	proxy.Stall()
	stalled := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	lost := newMessage("lost or not")
	_, err := p.PublishAck(ctx, topic, lost)
	if took := time.Since(stalled); !errors.Is(err, bus.ErrUnknownOutcome) || took > time.Second {
		t.Errorf("after %v: %v; want ErrUnknownOutcome within the deadline", took, err)
	}
	eventually(t, 15*time.Second, "the dead link is noticed", func() bool { return b.Stats().Disconnects > 0 })
	noticed := time.Since(stalled)
	if _, err := p.PublishAck(t.Context(), topic, newMessage("down")); !errors.Is(err, bus.ErrNotStored) {
		t.Errorf("while known to be down: %v; want ErrNotStored", err)
	}

	proxy.Heal()
	healed := time.Now()
	eventually(t, 15*time.Second, "the connection is back", func() bool { return b.Stats().Reconnects > 0 })
	t.Logf("noticed after %v, back %v after healing", noticed, time.Since(healed))
	mustStore(t, p, lost)
}

// TestPublishWhileServerIsDown fails at once, and nothing of it turns up when the server is back.
func TestPublishWhileServerIsDown(t *testing.T) {
	srv := natstest.Start(t)
	b := natstest.Open(t, bus.Config{URL: srv.URL()})
	p := b.Publisher()
	mustStore(t, p, newMessage("before"))

	srv.Stop()
	eventually(t, 10*time.Second, "the connection is known to be down", func() bool { return !b.Conn().IsConnected() })
	inTime := 0
	for range 20 {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := p.PublishAck(ctx, topic, newMessage("ghost"))
		cancel()
		took := time.Since(start)
		if !errors.Is(err, bus.ErrNotStored) || took > 2*time.Second {
			t.Fatalf("after %v: %v; want ErrNotStored within the deadline", took, err)
		}
		if took < 600*time.Millisecond {
			inTime++
		}
	}
	// A busy machine may hold up some.
	if inTime < 10 {
		t.Errorf("of 20 calls %d ended with their deadline", inTime)
	}
	_, errs := p.PublishAll(t.Context(), []string{topic}, []*message.Message{newMessage("ghost")})
	if !errors.Is(errs[0], bus.ErrNotStored) {
		t.Errorf("publish all: %v", errs[0])
	}

	srv.Restart()
	eventually(t, 10*time.Second, "the connection is back", b.Conn().IsConnected)
	if ack := mustStore(t, p, newMessage("after")); ack.Position != 2 {
		t.Errorf("position %d after the restart; want 2: a failed publish turned up", ack.Position)
	}
}

// TestRestartUnderTraffic restarts the server twice under publishers that retry with the same id. Nothing that was
// acknowledged is missing, nothing is stored twice, and the subscriber gets everything.
func TestRestartUnderTraffic(t *testing.T) {
	srv := natstest.Start(t)
	b := natstest.Open(t, bus.Config{URL: srv.URL()})
	const publishers, each = 8, 150
	got := make(chan string, publishers*each)
	collect(t, b, bus.SubscriberConfig{Durable: "all", AckWait: 2 * time.Second}, got)

	var work sync.WaitGroup
	for n := range publishers {
		work.Go(func() {
			p := b.Publisher()
			for i := range each {
				publishUntilStored(t, p, newMessage(strconv.Itoa(n*each+i)))
			}
		})
	}
	for i := range uint64(2) {
		eventually(t, 30*time.Second, "traffic", func() bool { return b.Stats().Stored > (i+1)*publishers*each/4 })
		srv.Restart()
	}
	work.Wait()
	seen := map[string]bool{}
	for len(seen) < publishers*each {
		seen[receive(t, got, "message")] = true
	}
	var stream jetstream.Stream
	// All may have been stored before the second restart, whose end is then waited for here.
	eventually(t, 30*time.Second, "the stream", func() (there bool) {
		var err error
		stream, err = b.JetStream().Stream(t.Context(), bus.LedgerStream)
		return err == nil
	})
	if stored := stream.CachedInfo().State.Msgs; stored != publishers*each {
		t.Errorf("%d messages stored; want %d", stored, publishers*each)
	}
}

func publishUntilStored(t *testing.T, p *bus.Publisher, msg *message.Message) {
	for t.Context().Err() == nil {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := p.PublishAck(ctx, topic, msg)
		cancel()
		if err == nil {
			return
		}
		retry := time.NewTimer(20 * time.Millisecond)
		<-retry.C
	}
}

// collect acknowledges everything and passes the payloads on, until the test ends.
func collect(t *testing.T, b *bus.Bus, cfg bus.SubscriberConfig, got chan<- string) {
	t.Helper()
	sub, err := b.NewSubscriber(cfg)
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := sub.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		for m := range msgs {
			select {
			case got <- string(m.Payload):
				m.Ack()
			case <-t.Context().Done():
			}
		}
	})
	t.Cleanup(func() { _ = sub.Close(); reader.Wait() })
}
