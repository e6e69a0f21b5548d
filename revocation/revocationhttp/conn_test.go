package revocationhttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// serve starts a real server around h. It is closed, and its connections with it, when the test ends.
func serve(t *testing.T, g *rig, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(g.guard.Handler(h))
	t.Cleanup(srv.Close)
	return srv
}

// get begins a request to srv and returns once its headers have come.
func get(t *testing.T, srv *httptest.Server, sid string) *http.Response {
	t.Helper()
	return send(t, srv, sid, nil)
}

func send(t *testing.T, srv *httptest.Server, sid string, body io.Reader) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Test-Session", sid)
	res, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func wait[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// The example of doc comments: a stream of Server-Sent Events tells its client and ends.
func TestServerSentEvents(t *testing.T) {
	g := newRig(t, revocationhttp.Config{})
	srv := serve(t, g, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: hello\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		var ended *revocation.EndedError
		if errors.As(context.Cause(r.Context()), &ended) {
			fmt.Fprintf(w, "event: logout\ndata: %s\n\n", ended.Decision.Reason)
		}
	})
	mine, others := get(t, srv, "s1 u1"), get(t, srv, "s2 u1")
	lines := bufio.NewReader(others.Body)
	if line, err := lines.ReadString('\n'); line != "data: hello\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	g.feed.Publish(loggedOutEverywhere(t, "u1", "s2"))
	got, err := io.ReadAll(mine.Body)
	if want := "data: hello\n\nevent: logout\ndata: password_changed\n\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	g.feed.Publish(sessionRevoked(t, "s2", events.ReasonAdmin))
	if rest, err := io.ReadAll(lines); err != nil || !strings.Contains(string(rest), "data: admin") {
		t.Errorf("the other stream went on to %q, %v", rest, err)
	}
}

func TestHijack(t *testing.T) {
	g := newRig(t, revocationhttp.Config{})
	srv := serve(t, g, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("Hijack: %v", err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: test\r\nConnection: Upgrade\r\n\r\nhello\n")
		_ = rw.Flush()
		<-r.Context().Done()
		_, _ = fmt.Fprintln(conn, context.Cause(r.Context()))
	})
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: test\r\nX-Test-Session: s1 u1\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "hello\n" {
			break
		}
	}
	g.feed.Publish(sessionRevoked(t, "s1", events.ReasonCompromised))
	if line, err := in.ReadString('\n'); line != "session ended while it was watched: compromised\n" {
		t.Errorf("got %q, %v", line, err)
	}
}

// The ResponseWriter is the server's own.
func TestResponseWriterIsNotWrapped(t *testing.T) {
	g := newRig(t, revocationhttp.Config{EndConn: true})
	outer := httptest.NewRecorder()
	g.guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if w != http.ResponseWriter(outer) {
			t.Errorf("the writer is a %T", w)
		}
	})).ServeHTTP(outer, request("s1 u1"))
}

// EndConn frees a handler that is blocked in reading a body or in writing to a client that doesn't read.
func TestEndConn(t *testing.T) {
	for _, tc := range []struct {
		name  string
		block func(w http.ResponseWriter, r *http.Request) error
	}{
		{"read", func(_ http.ResponseWriter, r *http.Request) error {
			_, err := io.ReadAll(r.Body)
			return err
		}},
		{"write", func(w http.ResponseWriter, _ *http.Request) error {
			for big := make([]byte, 1<<20); ; {
				if _, err := w.Write(big); err != nil {
					return err
				}
			}
		}},
	} {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
			t.Run(tc.name+" "+proto, func(t *testing.T) {
				g := newRig(t, revocationhttp.Config{EndConn: true})
				serving, returned := make(chan struct{}), make(chan error, 2)
				srv := httptest.NewUnstartedServer(g.guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_ = http.NewResponseController(w).EnableFullDuplex()
					w.WriteHeader(200)
					_ = http.NewResponseController(w).Flush()
					close(serving)
					returned <- tc.block(w, r)
					returned <- context.Cause(r.Context())
				})))
				srv.EnableHTTP2 = proto == "HTTP/2"
				srv.StartTLS()
				t.Cleanup(srv.Close)
				body, never := io.Pipe()
				t.Cleanup(func() { _ = never.Close() })
				res := send(t, srv, "s1 u1", body)
				if got := res.Proto; !strings.HasPrefix(got, proto) {
					t.Fatalf("the request went over %s", got)
				}
				wait(t, "the handler", serving)
				g.feed.Publish(sessionRevoked(t, "s1", events.ReasonAdmin))
				err := wait(t, "the blocked call", returned)
				if proto == "HTTP/1.1" && !errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
					t.Errorf("the blocked call returned %v", err)
				}
				if cause := wait(t, "the cause", returned); !errors.Is(cause, revocation.ErrSessionEnded) {
					t.Errorf("the cause is %v", cause)
				}
			})
		}
	}
}

// A deadline never hits a connection's next request.
func TestEndConnSparesTheNextRequest(t *testing.T) {
	g := newRig(t, revocationhttp.Config{EndConn: true})
	srv := serve(t, g, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	for i := range 200 {
		res := get(t, srv, fmt.Sprintf("s%d u1", i))
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
			t.Fatalf("request %d: %d, %v", i, res.StatusCode, err)
		}
		_ = res.Body.Close()
		g.feed.Publish(sessionRevoked(t, fmt.Sprintf("s%d", i), events.ReasonAdmin))
	}
}
