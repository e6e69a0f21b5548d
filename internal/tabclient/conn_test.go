package tabclient_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pipe(t *testing.T) (*tabclient.Conn, net.Conn) {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { _ = here.Close(); _ = there.Close() })
	return tabclient.On(here), there
}

// A Next that ran out of time leaves nothing behind that would end a later one, or a write.
func TestNextAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, gateway := pipe(t)
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if f, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %+v, %v; want nothing", f, err)
			}
			cancel()
			frame := ws.MustCompileFrame(ws.NewTextFrame([]byte(`{"type":"sessions_changed"}`)))
			go func() { _, _ = gateway.Write(frame) }()
			if f, err := c.Next(t.Context()); err != nil || f.Type != tab.TypeSessionsChanged {
				t.Errorf("got %+v, %v", f, err)
			}
		}
	})
}

// A gateway that breaks RFC 6455 is found out.
func TestStrict(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame ws.Frame
	}{
		{"masked", ws.MaskFrame(ws.NewTextFrame([]byte("{}")))},
		{"fragmented", ws.NewFrame(ws.OpText, false, []byte("{}"))},
		{"binary", ws.NewBinaryFrame(nil)},
		{"unknown opcode", ws.NewFrame(3, true, nil)},
		{"huge", ws.NewTextFrame(make([]byte, 1<<20))},
		{"not of the protocol", ws.NewTextFrame([]byte("nonsense"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, gateway := pipe(t)
			go func() { _, _ = gateway.Write(ws.MustCompileFrame(c.frame)) }()
			if f, err := conn.Next(t.Context()); err == nil {
				t.Errorf("got %+v, want an error", f)
			}
		})
	}
}

func TestClosed(t *testing.T) {
	for _, c := range []struct {
		name string
		body []byte
		want tabclient.CloseError
	}{
		{"with a code", ws.NewCloseFrameBody(4501, "signed out"), tabclient.CloseError{Code: 4501, Reason: "signed out"}},
		{"without", nil, tabclient.CloseError{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, gateway := pipe(t)
			answer := make(chan ws.Frame, 1)
			go func() {
				_, _ = gateway.Write(ws.MustCompileFrame(ws.NewCloseFrame(c.body)))
				h, _ := ws.ReadHeader(gateway)
				f := ws.Frame{Header: h, Payload: make([]byte, min(h.Length, 125))}
				_, _ = io.ReadFull(gateway, f.Payload)
				answer <- ws.UnmaskFrame(f)
			}()
			_, err := conn.Next(t.Context())
			var got *tabclient.CloseError
			if !errors.As(err, &got) || *got != c.want {
				t.Errorf("got %v, want %v", err, &c.want)
			}
			if f := <-answer; f.Header.OpCode != ws.OpClose || string(f.Payload) != string(c.body[:min(2, len(c.body))]) {
				t.Errorf("answered with %+v", f)
			}
		})
	}
}

func TestDialRefused(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	_, err := tabclient.Dial(t.Context(), strings.Replace(srv.URL, "http", "ws", 1), "", "")
	var status *tabclient.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusNotFound {
		t.Errorf("got %v, want 404", err)
	}
}
