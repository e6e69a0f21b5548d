package fanout

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/revocation"
)

// serveFront serves the gateway as the product does, with TLS if there is a certificate, and returns host:port.
func (g *rig) serveFront(cert *tls.Certificate, more func(*http.ServeMux)) string {
	g.t.Helper()
	mux := http.NewServeMux()
	g.svc.Routes(mux)
	if more != nil {
		more(mux)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	cfg := app.HTTPConfig{Addr: "127.0.0.1:0", Handler: app.API(mux), Log: log, Front: g.svc.Front}
	if cert != nil {
		cfg.CertFile, cfg.KeyFile = writeCert(g.t, *cert)
	}
	api, err := app.ListenHTTP(cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = api.Stop(ctx)
	})
	return api.Addr()
}

func writeCert(t *testing.T, cert tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", cert.Certificate[0]), write("key.pem", "PRIVATE KEY", key)
}

// waysIn are all ways in which a tab's conn can begin.
var waysIn = map[string]func(g *rig, cert tls.Certificate, s revocation.Session) peer{
	"websocket": func(g *rig, _ tls.Certificate, s revocation.Session) peer {
		return g.dial("http://"+g.serveFront(nil, nil), g.ticket(s))
	},
	"websocket that offers its ticket": func(g *rig, _ tls.Certificate, s revocation.Session) peer {
		return g.offer(&ws.Dialer{}, "ws://"+g.serveFront(nil, nil), g.ticket(s))
	},
	"websocket over TLS": func(g *rig, cert tls.Certificate, s revocation.Session) peer {
		d := ws.Dialer{TLSConfig: &tls.Config{InsecureSkipVerify: true}}
		return g.offer(&d, "wss://"+g.serveFront(&cert, nil), g.ticket(s))
	},
	"websocket without a front": func(g *rig, _ tls.Certificate, s revocation.Session) peer { return g.dial(g.serve(), g.ticket(s)) },
	"websocket on a connection that was used before": func(g *rig, _ tls.Certificate, s revocation.Session) peer {
		addr := g.serveFront(nil, nil)
		d := ws.Dialer{NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				_, err = io.WriteString(nc, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
			}
			if err == nil {
				var resp *http.Response
				if resp, err = http.ReadResponse(bufio.NewReader(nc), nil); err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
				}
			}
			return nc, err
		}}
		return g.offer(&d, "ws://"+addr, g.ticket(s))
	},
	"stream": func(g *rig, _ tls.Certificate, s revocation.Session) peer {
		return g.stream("http://"+g.serveFront(nil, nil), s, nil)
	},
	"stream without a front": func(g *rig, _ tls.Certificate, s revocation.Session) peer { return g.stream(g.serve(), s, nil) },
	"stream over TLS": func(g *rig, cert tls.Certificate, s revocation.Session) peer {
		return g.stream("https://"+g.serveFront(&cert, nil), s, []string{"http/1.1"})
	},
	"stream over HTTP/2": func(g *rig, cert tls.Certificate, s revocation.Session) peer {
		return g.stream("https://"+g.serveFront(&cert, nil), s, []string{"h2"})
	},
}

// offer opens a WebSocket whose request brings the ticket, and sends no hello.
func (g *rig) offer(d *ws.Dialer, url, ticket string) *tabclient.Conn {
	g.t.Helper()
	d.Protocols = []string{tab.Subprotocol, tab.OfferTicket + ticket}
	d.Header = ws.HandshakeHeaderHTTP(http.Header{"Origin": {site}})
	nc, early, hs, err := d.Dial(g.t.Context(), url+pathConnect)
	if err != nil || hs.Protocol != tab.Subprotocol {
		g.t.Fatalf("%+v, %v", hs, err)
	}
	g.t.Cleanup(func() { _ = nc.Close() })
	return tabclient.OnEarly(nc, early)
}

func (g *rig) stream(url string, s revocation.Session, protocols []string) *tabclient.Stream {
	g.t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: len(protocols) > 0 && protocols[0] == "h2"}
	g.t.Cleanup(tr.CloseIdleConnections)
	stream, err := tabclient.DialStream(g.t.Context(), &http.Client{Transport: tr}, url, site, g.ticket(s), "")
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = stream.Close() })
	return stream
}

// Whichever way a tab comes, it is told that it is ready and that its session is over, its acknowledgement is taken, and nothing is left of it.
func TestWaysIn(t *testing.T) {
	cert := testCert(t)
	for name, dial := range waysIn {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, nil)
			s := who("ann", "s1")
			c := dial(g, cert, s)
			if f := next(t, c); f.Type != tab.TypeReady || f.Session != "s1" {
				t.Fatalf("got %+v, want ready", f)
			}
			tabs := g.svc.Tabs(tenant, "ann")
			if transport := map[bool]string{true: "sse", false: "websocket"}[strings.HasPrefix(name, "stream")]; len(tabs) != 1 || string(tabs[0].Transport) != transport {
				t.Errorf("tabs %+v, want one by %s", tabs, transport)
			}
			g.publish(sessionRevoked(who("ann", "s2"), ""))
			if f := next(t, c); f.Type != tab.TypeSessionsChanged {
				t.Errorf("got %+v, want sessions_changed", f)
			}
			e := sessionRevoked(s, "bye")
			g.publish(e)
			f := next(t, c)
			if f.ID != e.ID || f.Message != "bye" {
				t.Fatalf("got %+v, want the notice", f)
			}
			if err := c.Ack(f.ID, tab.OutcomeSignedOut); err != nil {
				t.Fatal(err)
			}
			var closed *tabclient.CloseError
			ctx, cancel := timeout(t, patience)
			defer cancel()
			if f, err := c.Next(ctx); !errors.As(err, &closed) || closed.Code != tab.CloseSignedOut {
				t.Errorf("got %+v, %v; want close 4501", f, err)
			}
			if n := testutil.ToFloat64(g.metrics.Acks.WithLabelValues("signed_out")); n != 1 {
				t.Errorf("%v acknowledgements", n)
			}
			eventually(t, "no conn is left", func() bool { return g.svc.Open() == 0 && len(g.svc.streams) == 0 })
		})
	}
}

// What isn't a tab's gets to the HTTP server as it was sent, in whatever pieces, on a connection that may be used again.
func TestFrontLeavesOthersAlone(t *testing.T) {
	cert := testCert(t)
	g := newRig(t, nil)
	echo := func(mux *http.ServeMux) {
		mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "%s %s ", r.Method, r.Proto)
			_, _ = io.Copy(w, r.Body)
		})
	}
	plain, secure := g.serveFront(nil, echo), g.serveFront(&cert, echo)
	for name, c := range map[string]struct {
		url string
		tr  *http.Transport
	}{
		"plain":  {"http://" + plain, &http.Transport{}},
		"TLS":    {"https://" + secure, &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}},
		"HTTP/2": {"https://" + secure, &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}},
	} {
		t.Run(name, func(t *testing.T) {
			defer c.tr.CloseIdleConnections()
			for range 3 {
				resp, err := (&http.Client{Transport: c.tr}).Post(c.url+"/echo", "text/plain", strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if want := "POST " + resp.Proto + " body"; err != nil || string(body) != want {
					t.Errorf("got %q, %v; want %q", body, err, want)
				}
				if (resp.ProtoMajor == 2) != (name == "HTTP/2") {
					t.Errorf("spoke %s", resp.Proto)
				}
			}
		})
	}
	for name, sent := range map[string]string{
		"two requests at once": "GET /echo HTTP/1.1\r\nHost: x\r\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"nearly a tab's":       "GET /v1/connects HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/connecT HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := net.Dial("tcp", plain)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			for i := range len(sent) {
				if _, err := nc.Write([]byte{sent[i]}); err != nil {
					t.Fatal(err)
				}
			}
			all, err := io.ReadAll(nc)
			if n := strings.Count(string(all), "\r\nDate: "); err != nil || n != 2 {
				t.Errorf("%d answers, %v:\n%s", n, err, all)
			}
		})
	}
}

// What a tab's first request can't be is answered, and its connection closed.
func TestFrontRefuses(t *testing.T) {
	g := newRig(t, nil)
	addr := g.serveFront(nil, nil)
	const offer = "Sec-WebSocket-Protocol: " + tab.Subprotocol + "\r\n"
	for name, c := range map[string]struct {
		sent, want string
	}{
		"no HTTP":              {"GET /v1/connect gopher\r\n\r\n", "HTTP/1.1 400 "},
		"a broken header":      {"GET /v1/connect HTTP/1.1\r\nHost x\r\n\r\n", "HTTP/1.1 400 "},
		"too many headers":     {"GET /v1/connect HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("x", maxHeadBytes) + "\r\n\r\n", "HTTP/1.1 431 "},
		"a line without end":   {"GET /v1/notices?" + strings.Repeat("x", maxHeadBytes+1), "HTTP/1.1 431 "},
		"a body":               {"GET /v1/connect HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 400 "},
		"chunks":               {"GET /v1/connect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "},
		"a foreign origin":     {"GET /v1/connect HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n" + offer + "\r\n", "HTTP/1.1 403 "},
		"no upgrade":           {"GET /v1/connect HTTP/1.1\r\nHost: x\r\n" + offer + "\r\n", "HTTP/1.1 400 "},
		"no subprotocol":       {"GET /v1/connect HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 "},
		"a stream of HEAD":     {"HEAD /v1/notices HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 405 "},
		"a bad ticket":         {"GET /v1/connect HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: " + tab.Subprotocol + ", ticket.x.y\r\n\r\n", "HTTP/1.1 401 "},
		"a stream without who": {"GET /v1/notices HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 401 "},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err := io.WriteString(nc, c.sent); err != nil {
				t.Fatal(err)
			}
			all, err := io.ReadAll(nc)
			// Of what it didn't read the gateway may have been told when it closed.
			if err != nil && !errors.Is(err, syscall.ECONNRESET) || !strings.HasPrefix(string(all), c.want) {
				t.Errorf("got %q, %v; want %s", all, err, c.want)
			}
			if strings.Contains(string(all), "ticket.x.y") {
				t.Errorf("the answer quotes a ticket: %s", all)
			}
		})
	}
	eventually(t, "no conn is left", func() bool { return g.svc.Open() == 0 })
}

// pipeListener accepts pipes, and errors.
type pipeListener struct {
	accepted chan any
	once     sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	switch a := (<-l.accepted).(type) {
	case net.Conn:
		return a, nil
	case error:
		return nil, a
	}
	return nil, net.ErrClosed
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.accepted) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// A connection that is silent, or slow, has five seconds; and a system that has no room for one more isn't the end.
func TestFrontTimes(t *testing.T) {
	const request = "GET /v1/connect HTTP/1.1\r\nHost: x\r\n"
	for _, sent := range []string{"", "GET /v1", request} {
		t.Run(fmt.Sprintf("%d bytes", len(sent)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				inner := &pipeListener{accepted: make(chan any)}
				l := g.svc.Front(inner)
				defer l.Close()
				inner.accepted <- &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
				here, there := newPipe(t)
				began := time.Now()
				inner.accepted <- there
				if took := time.Since(began); took <= 0 || took > longestPause {
					t.Errorf("accepting went on after %v", took)
				}
				began = time.Now()
				// One byte at a time: each is a sign of life, and none gives more time.
				go func() {
					for i := range len(sent) {
						_, _ = here.Write([]byte{sent[i]})
					}
				}()
				_, _ = io.Copy(io.Discard, here)
				if took := time.Since(began); took < sortTimeout || took > sortTimeout+time.Second {
					t.Errorf("closed after %v, want %v", took, sortTimeout)
				}
			})
		})
	}
}

// Closing ends Accept, and lets nobody in who was being sorted.
func TestFrontCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		inner := &pipeListener{accepted: make(chan any)}
		l := g.svc.Front(inner)
		here, there := newPipe(t)
		inner.accepted <- there
		ended := make(chan error)
		go func() {
			_, err := l.Accept()
			ended <- err
		}()
		_ = l.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
		_, _ = io.WriteString(here, "GET / HTTP/1.1\r\n\r\n")
		if _, err := here.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is still open")
		}
	})
}

// Whoever opens connections and keeps silent has few of them at a time, and keeps nobody else out.
func TestFrontIsBounded(t *testing.T) {
	g := newRig(t, func(cfg *Config) { cfg.MaxHandshakes = 8 }) // 4 from one address
	addr := g.serveFront(nil, nil)
	from := dialFrom(t, addr)
	closed := make(chan struct{}, 100)
	for range 50 {
		nc := from("127.0.0.2")
		go func() {
			_, _ = io.Copy(io.Discard, nc)
			closed <- struct{}{}
		}()
	}
	for range 46 {
		within(t, closed, "closing what is too much")
	}
	select {
	case <-closed:
		t.Error("more were closed than had to be")
	default:
	}
	// Somebody else.
	nc := from("127.0.0.3")
	if _, err := io.WriteString(nc, "GET /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(nc); err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 404 ") {
		t.Errorf("somebody else got %q, %v", all, err)
	}
	if n := testutil.ToFloat64(g.metrics.Refused.WithLabelValues("too_many_connections")); n != 46 {
		t.Errorf("%v are counted, want 46", n)
	}
}

// dialFrom returns what dials an address from an IP of this machine.
func dialFrom(t *testing.T, addr string) func(ip string) net.Conn {
	return func(ip string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		nc, err := d.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		return nc
	}
}

// Whoever says nothing, or begins a request and doesn't end it, keeps nobody out, from however many addresses, and however soon others take the place of those that are closed.
func TestFrontGivesPlacesOfTheSilent(t *testing.T) {
	for name, said := range map[string]string{"nothing": "", "half a request": "GET /v1/connect HTTP/1.1\r\nHost: x\r\nCookie: "} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, func(cfg *Config) { cfg.MaxHandshakes = 8 }) // 4 from one address
			from := dialFrom(t, g.serveFront(nil, nil))
			silent := func(i int) net.Conn {
				nc := from(fmt.Sprintf("127.0.0.%d", 2+i%4))
				if _, err := io.WriteString(nc, said); err != nil {
					t.Error(err)
				}
				return nc
			}
			for i := range 16 { // eight of which wait in the kernel
				silent(i)
			}
			for i := range 3 {
				nc := from("127.0.0.9")
				if _, err := io.WriteString(nc, "GET /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				_ = nc.SetReadDeadline(time.Now().Add(patience))
				if all, err := io.ReadAll(nc); err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 404 ") {
					t.Errorf("somebody else got %q, %v", all, err)
				}
				silent(i)
			}
			if n := testutil.ToFloat64(g.metrics.Refused.WithLabelValues("too_many_connections")); n < 3 {
				t.Errorf("%v gave way, want one for each at least", n)
			}
		})
	}
}

// A request whose answer panics ends alone.
func TestFrontSurvivesPanic(t *testing.T) {
	g := newRig(t, func(cfg *Config) {
		cfg.Session = func(r *http.Request) (revocation.Session, error) { panic("a bug") }
	})
	addr := g.serveFront(nil, nil)
	for _, path := range []string{pathConnect, pathNotices} {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := io.WriteString(nc, "GET "+path+" HTTP/1.1\r\nHost: x\r\nOrigin: "+site+"\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: "+tab.Subprotocol+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if all, _ := io.ReadAll(nc); len(all) > 0 {
			t.Errorf("%s: got %q", path, all)
		}
	}
	eventually(t, "no place is taken", func() bool { return g.svc.Open() == 0 })
	g.stop() // which waits for those who log
	if n := strings.Count(g.log.String(), "has panicked"); n != 2 {
		t.Errorf("%d panics in the log, want 2", n)
	}
}

// A panic while a conn is being admitted gives its place back, also where the goroutine is the HTTP server's.
func TestGreetingSurvivesPanic(t *testing.T) {
	s := who("ann", "s1")
	g := newRig(t, func(cfg *Config) {
		cfg.EventAt = func(context.Context, uint64) (events.Event, error) { panic("a bug") }
	})
	g.publish(sessionRevoked(s, "bye"))
	c := waysIn["stream over HTTP/2"](g, testCert(t), s)
	ctx, cancel := timeout(t, patience)
	defer cancel()
	if f, err := c.Next(ctx); err == nil {
		t.Errorf("got %+v", f)
	}
	eventually(t, "no place is taken", func() bool { return g.svc.Open() == 0 })
	g.stop()
	if n := strings.Count(g.log.String(), "has panicked"); n != 1 {
		t.Errorf("%d panics in the log, want 1", n)
	}
}

// FuzzHandshake: whatever a connection begins with, it is answered or closed, and leaves nothing.
func FuzzHandshake(f *testing.F) {
	const head = "GET /v1/connect HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: "
	f.Add([]byte(head + tab.Subprotocol + "\r\n\r\n"))
	f.Add([]byte(head + tab.Subprotocol + ", ticket.x.y, position.1\r\n\r\n"))
	f.Add([]byte("GET /v1/notices HTTP/1.1\r\nHost: x\r\nCookie: " + passCookie(site) + "=x.y\r\nLast-Event-ID: 7\r\n\r\n"))
	f.Add([]byte("GET /v1/connect HTTP/1.1\r\nContent-Length: -1\r\n\r\n"))
	f.Add(bytes.Repeat([]byte("\r\n"), 40))
	f.Fuzz(func(t *testing.T, sent []byte) {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, nil)
			inner := &pipeListener{accepted: make(chan any)}
			l := g.svc.Front(inner)
			defer l.Close()
			go func() {
				for {
					nc, err := l.Accept()
					if err != nil {
						return
					}
					_ = nc.Close()
				}
			}()
			here, there := newPipe(t)
			inner.accepted <- there
			go func() {
				_, _ = here.Write(sent)
				<-time.After(time.Minute)
				_ = here.Close()
			}()
			_, _ = io.Copy(io.Discard, here)
			pass(2 * time.Minute)
			if n := g.svc.Open(); n != 0 {
				t.Errorf("%d conns are left", n)
			}
		})
	})
}
