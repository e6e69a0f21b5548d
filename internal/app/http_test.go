package app_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/logtext"
	"github.com/curfewhq/curfew/internal/tlstest"
)

// patience bounds waits that end in a moment unless something is broken.
const patience = 20 * time.Second

// listen serves h on a free port until the test's end.
func listen(t *testing.T, h http.Handler) (*app.HTTP, *logtext.Buffer) {
	t.Helper()
	var logged logtext.Buffer
	s, err := app.ListenHTTP(app.HTTPConfig{Addr: "127.0.0.1:0", Handler: h, Log: logged.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s, &logged
}

func stop(t *testing.T, s *app.HTTP) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// fetch returns an answer with its body. Its connection isn't kept.
func fetch(t *testing.T, s *app.HTTP, method, path string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func TestListenAddressInUse(t *testing.T) {
	s, _ := listen(t, http.NotFoundHandler())
	second, err := app.ListenHTTP(app.HTTPConfig{Addr: s.Addr(), Handler: http.NotFoundHandler(), Log: logrus.New()})
	if second != nil || !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("%v, %v", second, err)
	}
	for _, part := range []string{s.Addr(), "choose another address"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q doesn't say %q", err, part)
		}
	}
}

func TestPanicIsAnsweredAndSurvived(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /early", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		w.Header().Set("X-User-ID", "ada")
		panic("the reason")
	})
	mux.HandleFunc("GET /late", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half of the ans")
		_ = http.NewResponseController(w).Flush()
		panic("the reason")
	})
	mux.HandleFunc("GET /abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("GET /fine", func(http.ResponseWriter, *http.Request) {})
	s, logged := listen(t, mux)

	resp, body, err := fetch(t, s, http.MethodGet, "/early")
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Status int
		Code   string
		Retry  bool
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil || resp.StatusCode != 500 || p.Status != 500 || p.Code != "internal_error" {
		t.Errorf("early: %d %q (%v), want a whole 500", resp.StatusCode, body, err)
	}
	if got := resp.Header.Get("Content-Type") + " " + resp.Header.Get("Cache-Control") + resp.Header.Get("X-User-ID"); got != "application/problem+json no-store" {
		t.Errorf("early: headers %v", resp.Header)
	}
	if strings.Contains(body, "the reason") || !strings.Contains(logged.String(), "the reason") {
		t.Errorf("the reason belongs into the log %q, not into the answer %q", logged, body)
	}

	// An answer that had begun must not look like a whole one.
	if _, body, err := fetch(t, s, http.MethodGet, "/late"); err == nil || strings.Contains(body, "internal_error") {
		t.Errorf("late: %q, %v, want it cut off", body, err)
	}
	if _, _, err := fetch(t, s, http.MethodGet, "/abort"); err == nil {
		t.Error("abort: an answer")
	}
	if n := strings.Count(logged.String(), "a handler panicked"); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
	if resp, _, err := fetch(t, s, http.MethodGet, "/fine"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %v, %v", resp, err)
	}
}

// What the server wraps around the ResponseWriter doesn't take away what streams and WebSockets need.
func TestHandlersCanFlushAndHijack(t *testing.T) {
	s, _ := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, ok := w.(http.Flusher); !ok {
			t.Error("no Flusher")
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Errorf("deadline: %v", err)
		}
		nc, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhijacked")
		_ = nc.Close()
	}))
	if _, body, err := fetch(t, s, http.MethodGet, "/"); err != nil || body != "hijacked" {
		t.Errorf("%q, %v", body, err)
	}
}

func TestAPIWithoutRoute(t *testing.T) {
	mux := http.NewServeMux()
	none := func(http.ResponseWriter, *http.Request) {}
	mux.HandleFunc("GET /v1/check", none)
	mux.HandleFunc("POST /v1/check", none)
	mux.HandleFunc("DELETE /v1/keys/{id}", none)
	s, _ := listen(t, app.API(mux))
	tests := []struct {
		method, path, allow, code string
		status                    int
	}{
		{method: "GET", path: "/v1/check", status: 200},
		{method: "GET", path: "/", status: 404, code: "no_such_call"},
		{method: "POST", path: "/v2/check", status: 404, code: "no_such_call"},
		{method: "DELETE", path: "/v1/check", status: 405, code: "method_not_allowed", allow: "GET, HEAD, POST"},
		{method: "OPTIONS", path: "/v1/check", status: 405, code: "method_not_allowed", allow: "GET, HEAD, POST"},
		{method: "GET", path: "/v1/keys/7", status: 405, code: "method_not_allowed", allow: "DELETE"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			resp, body, err := fetch(t, s, tt.method, tt.path)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || resp.Header.Get("Allow") != tt.allow || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%d %v, want %d, Allow %q", resp.StatusCode, resp.Header, tt.status, tt.allow)
			}
			if tt.code == "" {
				return
			}
			var p struct{ Code string }
			if err := json.Unmarshal([]byte(body), &p); err != nil || p.Code != tt.code || resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %q (%v), want the problem %s", resp.Header.Get("Content-Type"), body, err, tt.code)
			}
		})
	}
}

// begun serves handlers that say when they run, and returns when one does. What the caller of it gets comes on the channel.
func begun(t *testing.T, h http.HandlerFunc) (*app.HTTP, <-chan string) {
	t.Helper()
	running, answer := make(chan struct{}), make(chan string, 1)
	s, _ := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(running)
		h(w, r)
	}))
	go func() {
		_, body, err := fetch(t, s, http.MethodGet, "/")
		if err != nil {
			body = err.Error()
		}
		answer <- body
	}()
	<-running
	return s, answer
}

func TestStopEndsStreams(t *testing.T) {
	s, answer := begun(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		_, _ = io.WriteString(w, "bye")
	})
	stop(t, s)
	if got := <-answer; got != "bye" {
		t.Errorf("the stream ended with %q", got)
	}
	select {
	case err := <-s.Failed():
		t.Errorf("a server that was stopped failed: %v", err)
	default:
	}
	if _, _, err := fetch(t, s, http.MethodGet, "/"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after Stop: %v", err)
	}
}

// A publish under way is finished, not thrown away.
func TestStopLetsRequestsFinish(t *testing.T) {
	stopping := make(chan struct{})
	s, answer := begun(t, func(w http.ResponseWriter, r *http.Request) {
		<-stopping
		select {
		case <-r.Context().Done():
		case <-time.After(100 * time.Millisecond):
			_, _ = io.WriteString(w, "stored")
		}
	})
	close(stopping)
	stop(t, s)
	if got := <-answer; got != "stored" {
		t.Errorf("the answer is %q, want it finished", got)
	}
}

func TestStopIsBounded(t *testing.T) {
	release := make(chan struct{})
	s, answer := begun(t, func(http.ResponseWriter, *http.Request) { <-release })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stop: %v, want the deadline", err)
	}
	if got := <-answer; !strings.Contains(got, "EOF") {
		t.Errorf("the caller got %q, want its connection closed", got)
	}
	close(release)
}

// rawConn sends bytes as they are and returns what comes back until the server closes the connection.
func rawConn(t *testing.T, s *app.HTTP, send string) string {
	t.Helper()
	nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(nc, send)
	got, err := io.ReadAll(bufio.NewReader(nc))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection was still open after %v", patience)
	}
	return string(got)
}

// A slow header (slowloris) is cut off.
func TestSlowHeaderIsCut(t *testing.T) {
	t.Parallel()
	s, _ := listen(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("half a header was served") }))
	began := time.Now()
	if got := rawConn(t, s, "GET / HTTP/1.1\r\nHost: curfew\r\nX-Slow: "); strings.Contains(got, "200 OK") {
		t.Errorf("got %q", got)
	}
	if took := time.Since(began); took < 4*time.Second || took > 15*time.Second {
		t.Errorf("cut after %v, want about 5s", took)
	}
}

func TestLongHeaderIsRefused(t *testing.T) {
	s, _ := listen(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("served") }))
	got := rawConn(t, s, "GET / HTTP/1.1\r\nHost: curfew\r\nCookie: "+strings.Repeat("x", 64<<10)+"\r\n\r\n")
	if got != "" && !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Errorf("got %q, want 431", got)
	}
}

func TestTLSVersions(t *testing.T) {
	certFile, keyFile, pool := tlstest.Certificate(t)
	s, err := app.ListenHTTP(app.HTTPConfig{Addr: "127.0.0.1:0", CertFile: certFile, KeyFile: keyFile, Handler: http.NotFoundHandler(), Log: logrus.New()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	got := map[string]bool{}
	for version, name := range map[uint16]string{tls.VersionTLS10: "1.0", tls.VersionTLS11: "1.1", tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"} {
		d := tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: version, MaxVersion: version}}
		nc, err := d.DialContext(t.Context(), "tcp", s.Addr())
		if got[name] = err == nil; err == nil {
			_ = nc.Close()
		}
	}
	if diff := cmp.Diff(map[string]bool{"1.0": false, "1.1": false, "1.2": true, "1.3": true}, got); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
}

// A certificate that can't be read is the caller's to know at once, not a server's that has already said that it serves.
func TestTLSFilesAreReadAtTheStart(t *testing.T) {
	certFile, keyFile, _ := tlstest.Certificate(t)
	for _, files := range [][2]string{{"missing.pem", keyFile}, {certFile, "missing.pem"}, {keyFile, certFile}, {certFile, ""}, {"", keyFile}} {
		s, err := app.ListenHTTP(app.HTTPConfig{Addr: "127.0.0.1:0", CertFile: files[0], KeyFile: files[1], Handler: http.NotFoundHandler(), Log: logrus.New()})
		if err == nil {
			stop(t, s)
			t.Errorf("%v: no error", files)
			continue
		}
		if !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%v: %v", files, err)
		}
	}
}
