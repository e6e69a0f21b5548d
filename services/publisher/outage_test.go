package publisher_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/publisher"
)

// again calls until it is answered with 200, as a caller with an Idempotency-Key should.
func (d *desk) again(t *testing.T, body, key string) reply {
	t.Helper()
	var got reply
	eventually(t, "the call succeeds", func() bool {
		got = d.revoke(t, body, "Idempotency-Key", key)
		return got.status == 200
	})
	return got
}

func TestServerDown(t *testing.T) {
	for name, body := range map[string]string{"single": bodyA, "array": "[" + bodyA + "," + bodyB + "]"} {
		t.Run(name, func(t *testing.T) {
			srv := natstest.Start(t)
			d := newDesk(t, natstest.Open(t, bus.Config{URL: srv.URL()}), nil)
			if got := d.revoke(t, bodyC); got.status != 200 {
				t.Fatalf("got %s", got.body)
			}
			srv.Stop()
			began := time.Now()
			got := d.call(t, d.key, http.MethodPost, "/v1/revocations?timeout=500ms", body, "Idempotency-Key", "k")
			if got.status != 503 || got.Code != "not_stored" && got.Code != "outcome_unknown" || !got.Retry || got.header.Get("Retry-After") != "1" {
				t.Errorf("got %d %s", got.status, got.body)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			srv.Restart()
			d.again(t, body, "k")
			if got, want := targets(d.stored(t)), "c "+strings.Join(strings.Fields(map[string]string{"single": "a", "array": "a b"}[name]), " "); got != want {
				t.Errorf("the ledger holds %s, want %s", got, want)
			}
		})
	}
}

// A server that was restarted still knows what it stored before.
func TestRepeatAfterRestart(t *testing.T) {
	srv := natstest.Start(t)
	d := newDesk(t, natstest.Open(t, bus.Config{URL: srv.URL()}), nil)
	first := d.revoke(t, bodyA, "Idempotency-Key", "k")
	srv.Restart()
	again := d.again(t, bodyA, "k")
	if first.ID == "" || again.ID != first.ID || !again.Duplicate {
		t.Errorf("got %s, then %s", first.body, again.body)
	}
	d.one(t)
}

// A call that runs out of time is reported as unknown, not as failed: the event gets there later.
func TestTimeoutIsUnknown(t *testing.T) {
	for name, tt := range map[string]struct{ body, want string }{"single": {bodyA, "a"}, "array": {"[" + bodyA + "," + bodyB + "]", "a b"}} {
		t.Run(name, func(t *testing.T) {
			srv := natstest.Start(t)
			proxy := natstest.NewProxy(t, srv.Addr())
			// The link isn't given up for being silent, so that what was sent arrives when it heals.
			d := newDesk(t, natstest.Open(t, bus.Config{URL: proxy.URL(), PingInterval: time.Minute}), nil)
			proxy.Stall()
			began := time.Now()
			got := d.call(t, d.key, http.MethodPost, "/v1/revocations?timeout=300ms", tt.body, "Idempotency-Key", "k")
			if got.status != 503 || got.Code != "outcome_unknown" || !got.Retry || got.header.Get("Retry-After") != "1" {
				t.Errorf("got %d %s", got.status, got.body)
			}
			if took := time.Since(began); took < 300*time.Millisecond || took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if d.published("SessionRevoked", "unknown") == 0 || d.published("SessionRevoked", "stored") != 0 {
				t.Error("not counted as unknown")
			}
			proxy.Heal()
			d.again(t, tt.body, "k")
			if got := targets(d.stored(t)); got != tt.want {
				t.Errorf("the ledger holds %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLedgerFull(t *testing.T) {
	cfg := natstest.Config(t)
	cfg.MaxBytes = 32 << 10
	d := newDesk(t, natstest.Open(t, cfg), nil)
	stored := map[uint64]string{}
	var got reply
	for i := range 200 {
		body := fmt.Sprintf(`{"scope":"session","session":"PLANTED %d","reason_admin":"%s"}`, i, strings.Repeat("PLANTED", 50))
		if got = d.revoke(t, body); got.status != 200 {
			break
		}
		stored[got.Position] = got.ID
	}
	if got.status != 503 || got.Code != "ledger_full" || !got.Retry || got.header.Get("Retry-After") != "5" {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	got = d.revoke(t, "["+bodyA+","+bodyB+"]")
	if got.status != 503 || got.Code != "ledger_full" && got.Code != "not_stored" {
		t.Errorf("an array: %d %s", got.status, got.body)
	}
	all := d.stored(t)
	for i, e := range all {
		if id, ok := stored[uint64(i+1)]; ok && id != e.Meta().ID {
			t.Errorf("position %d holds another event", i+1)
		}
	}
	if len(all) < len(stored) {
		t.Errorf("%d of %d acknowledged events are left", len(all), len(stored))
	}
}

// An external NATS may take less than the largest event.
func TestEventTooLarge(t *testing.T) {
	srv := natstest.Start(t, natstest.With(func(o *server.Options) { o.MaxPayload = 16 << 10 }))
	d := newDesk(t, natstest.Open(t, bus.Config{URL: srv.URL()}), nil)
	known := strings.TrimSuffix(strings.Repeat(`"PLANTED `+strings.Repeat("x", 200)+`",`, 100), ",")
	got := d.revoke(t, `{"scope":"user","user":"PLANTED","known_sessions":[`+known+`]}`)
	if got.status != 422 || got.Code != "event_too_large" || got.Retry {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

// heldStream is the real stream behind a door.
type heldStream struct {
	publisher.Stream
	entered, open chan struct{}
}

func (s heldStream) PublishAck(ctx context.Context, topic string, msg *message.Message) (bus.Ack, error) {
	s.entered <- struct{}{}
	<-s.open
	return s.Stream.PublishAck(ctx, topic, msg)
}

func TestCallerGoingAwayDoesNotCallItOff(t *testing.T) {
	held := heldStream{entered: make(chan struct{}), open: make(chan struct{})}
	b := natstest.Bus(t)
	d := newDesk(t, b, func(c *publisher.Config) {
		held.Stream = c.Stream
		c.Stream = held
	})
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := d.try(ctx, d.key, http.MethodPost, "/v1/revocations", bodyA)
		gone <- err
	}()
	<-held.entered
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatalf("the call ended with %v", err)
	}
	close(held.open)
	eventually(t, "the event is stored", func() bool { return len(d.stored(t)) == 1 })
}

func BenchmarkRevoke(b *testing.B) {
	d := newDesk(b, natstest.Bus(b), nil)
	for b.Loop() {
		if got := d.revoke(b, bodyA); got.status != 200 {
			b.Fatalf("got %s", got.body)
		}
	}
}
