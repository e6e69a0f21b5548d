package natstest_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/internal/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBus(t *testing.T) {
	b := natstest.Bus(t)
	if err := b.Publisher().Publish("curfew.v1.acme.3f.session", message.NewMessage("1", nil)); err != nil {
		t.Error(err)
	}
}

func TestRunInProcess(t *testing.T) {
	srv := natstest.Run(t, natstest.InProcess())
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Flush(); err != nil {
		t.Error(err)
	}
}

// TestRestart keeps folder, port and streams.
func TestRestart(t *testing.T) {
	s := natstest.Start(t)
	nc, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	addr := s.Addr()
	s.Stop()
	s.Stop()
	if s.Server() != nil || s.Addr() != addr {
		t.Errorf("stopped: %v, %s", s.Server(), s.Addr())
	}
	s.Restart()
	again, err := nats.Connect("nats://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if js, err = jetstream.New(again); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "S")
	if err != nil || stream.CachedInfo().State.Msgs != 1 {
		t.Errorf("after the restart: %v, %v", stream, err)
	}
}

// TestProxy echoes through the link, then lets it fail in each way.
func TestProxy(t *testing.T) {
	p := natstest.NewProxy(t, echo(t))
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	roundTrip := func(within time.Duration) error {
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(within))
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	if err := roundTrip(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	p.Stall()
	p.Stall()
	if err := roundTrip(100 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("stalled: %v; want silence", err)
	}
	p.Heal()
	p.Heal()
	if err := roundTrip(10 * time.Second); err != nil {
		t.Errorf("healed: %v", err)
	}
	p.Cut()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("cut: the connection is still open")
	}
	if c, err = net.Dial("tcp", p.Addr()); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := roundTrip(10 * time.Second); err != nil {
		t.Errorf("a new connection after the cut: %v", err)
	}
}

// echo answers each byte, until the test ends.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String()
}
