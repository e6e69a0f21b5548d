package fanout

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
)

const upgradeHeaders = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// upgrade sends a request with any headers, and bytes behind it. The caller closes the socket.
func upgrade(t *testing.T, url, headers string, behind []byte) (*http.Response, net.Conn, *bufio.Reader) {
	t.Helper()
	addr := strings.TrimPrefix(url, "http://")
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := nc.Write(append([]byte("GET /v1/connect HTTP/1.1\r\nHost: "+addr+"\r\n"+headers+"\r\n"), behind...)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(nc)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp, nc, r
}

// Trap 26, the cross-site hijack: an Origin is compared whole.
func TestTrapOrigin(t *testing.T) {
	g := newRig(t, func(cfg *Config) { cfg.AllowedOrigins = []string{site, "http://localhost:8080"} })
	url := g.serve()
	for _, c := range []struct {
		name    string
		origins []string
		want    int
	}{
		{"allowed", []string{site}, 101},
		{"allowed with a port", []string{"http://localhost:8080"}, 101},
		{"missing: a program, which has its ticket", nil, 101},
		{"suffix", []string{"https://evil-app.example"}, 403},
		{"prefix", []string{"https://app.example.evil.com"}, 403},
		{"subdomain", []string{"https://x.app.example"}, 403},
		{"another scheme", []string{"http://app.example"}, 403},
		{"another port", []string{"https://app.example:8443"}, 403},
		{"the default port spelt out", []string{"https://app.example:443"}, 403},
		{"no port where one is asked for", []string{"http://localhost"}, 403},
		{"with a path", []string{site + "/"}, 403},
		{"with a user", []string{"https://app.example@evil.com"}, 403},
		{"null", []string{"null"}, 403},
		{"empty", []string{""}, 403},
		{"two", []string{site, "https://evil.com"}, 403},
		{"the same twice", []string{site, site}, 403},
		{"two in one", []string{site + ", https://evil.com"}, 403},
		{"another case", []string{"https://APP.example"}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			headers := upgradeHeaders + "Sec-WebSocket-Protocol: " + tab.Subprotocol + "\r\n"
			for _, o := range c.origins {
				headers += "Origin: " + o + "\r\n"
			}
			resp, _, _ := upgrade(t, url, headers, nil)
			if resp.StatusCode != c.want {
				t.Errorf("got %d, want %d", resp.StatusCode, c.want)
			}
		})
	}
}

func TestUpgrade(t *testing.T) {
	g := newRig(t, nil)
	url := g.serve()
	protocol := "Sec-WebSocket-Protocol: " + tab.Subprotocol + "\r\n"
	for _, c := range []struct {
		name, headers string
		want          int
	}{
		{"no subprotocol", upgradeHeaders, 400},
		{"another subprotocol", upgradeHeaders + "Sec-WebSocket-Protocol: curfew.v2\r\n", 400},
		{"a subprotocol that only begins so", upgradeHeaders + "Sec-WebSocket-Protocol: curfew.v10\r\n", 400},
		{"one of several subprotocols", upgradeHeaders + "Sec-WebSocket-Protocol: other, curfew.v1\r\n", 101},
		{"in a second header", upgradeHeaders + "Sec-WebSocket-Protocol: other\r\n" + protocol, 101},
		{"no upgrade at all", protocol, 400},
		{"another version", strings.Replace(upgradeHeaders, "13", "8", 1) + protocol, 426},
		{"a short key", strings.Replace(upgradeHeaders, "dGhl", "", 1) + protocol, 400},
		{"extensions offered, none taken", upgradeHeaders + protocol + "Sec-WebSocket-Extensions: permessage-deflate\r\n", 101},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, nc, _ := upgrade(t, url, c.headers, nil)
			if resp.StatusCode != c.want {
				t.Errorf("got %d, want %d", resp.StatusCode, c.want)
			}
			if c.want == 101 && (resp.Header.Get("Sec-WebSocket-Protocol") != tab.Subprotocol || resp.Header.Get("Sec-WebSocket-Extensions") != "") {
				t.Errorf("answered with %v", resp.Header)
			}
			_ = nc.Close()
			eventually(t, "the place is free", func() bool { return g.svc.Open() == 0 })
		})
	}
}

// A client that sends hello with its request doesn't wait for the answer.
func TestHelloWithTheRequest(t *testing.T) {
	g := newRig(t, nil)
	sent := frame(fin|textOp, []byte(`{"type":"hello","ticket":"`+g.ticket(who("ann", "s1"))+`"}`))
	_, _, r := upgrade(t, g.serve(), upgradeHeaders+"Sec-WebSocket-Protocol: "+tab.Subprotocol+"\r\n", sent)
	f, err := readFrame(r)
	if err != nil || !bytes.Contains(f.Payload, []byte(`"ready"`)) {
		t.Errorf("got %q, %v; want ready", f.Payload, err)
	}
}

// MaxHandshakes is exact, however many come at once; places come back, and the gauge with them.
func TestMaxHandshakes(t *testing.T) {
	const most, callers = 5, 40
	g := newRig(t, func(cfg *Config) { cfg.MaxHandshakes, cfg.MaxHandshakesPerIP = most, -1 })
	url := strings.Replace(g.serve(), "http", "ws", 1)
	for range 3 {
		var wg sync.WaitGroup
		conns := make([]*tabclient.Conn, callers)
		for i := range conns {
			wg.Go(func() {
				c, err := tabclient.Dial(t.Context(), url, site, "")
				var status *tabclient.StatusError
				if err != nil && (!errors.As(err, &status) || status.Status != http.StatusServiceUnavailable) {
					t.Errorf("got %v, want 503", err)
				}
				conns[i] = c
			})
		}
		wg.Wait()
		resp, _, _ := upgrade(t, strings.Replace(url, "ws", "http", 1), upgradeHeaders+"Sec-WebSocket-Protocol: "+tab.Subprotocol+"\r\n", nil)
		if resp.StatusCode != http.StatusServiceUnavailable || !spread(resp.Header.Get("Retry-After")) {
			t.Errorf("one more gets %d %v", resp.StatusCode, resp.Header)
		}
		eventually(t, "all are counted", func() bool { return testutil.ToFloat64(g.metrics.Conns.WithLabelValues("websocket")) == most })
		if n := testutil.ToFloat64(g.metrics.Conns.WithLabelValues("websocket")); n != most || g.svc.Open() != most {
			t.Errorf("%v and %d conns, want %d", n, g.svc.Open(), most)
		}
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
		eventually(t, "all places are free", func() bool { return g.svc.Open() == 0 })
		if n := testutil.ToFloat64(g.metrics.Conns.WithLabelValues("websocket")); n != 0 {
			t.Errorf("the gauge is left at %v", n)
		}
	}
}

// MaxConns is exact, however many say hello at once; a hello that comes too late for a place is told to come back.
func TestMaxConns(t *testing.T) {
	const most, callers = 5, 40
	g := newRig(t, func(cfg *Config) { cfg.MaxConns, cfg.MaxHandshakes, cfg.MaxHandshakesPerIP = most, callers, -1 })
	url := g.serve()
	for range 3 {
		conns := make([]*tabclient.Conn, callers)
		for i := range conns {
			conns[i] = g.dial(url, "") // all wait: no place of a tab is taken
		}
		var ready atomic.Int32
		var wg sync.WaitGroup
		for i, c := range conns {
			text := g.ticket(who("ann", fmt.Sprintf("s%d", i)))
			wg.Go(func() {
				if err := c.Hello(text); err != nil {
					t.Errorf("hello: %v", err)
				}
				f, err := c.Next(t.Context())
				var closed *tabclient.CloseError
				switch {
				case f.Type == tab.TypeReady:
					ready.Add(1)
				case !errors.As(err, &closed) || closed.Code != tab.CloseOverloaded:
					t.Errorf("got %+v, %v; want ready or 1013", f, err)
				default:
					_ = c.Close()
				}
			})
		}
		wg.Wait()
		if n := ready.Load(); n != most {
			t.Errorf("%d tabs, want %d", n, most)
		}
		eventually(t, "only tabs are left", func() bool { return g.svc.Open() == most })
		if p := g.svc.enter(peerKey(0), false); p.Status != http.StatusServiceUnavailable || p.Code != "too_many_conns" {
			t.Errorf("one more gets %+v", p)
		}
		for _, c := range conns {
			_ = c.Close()
		}
		eventually(t, "all places are free", func() bool { return g.svc.Open() == 0 })
	}
}

// Sockets without a ticket, far more than there are places, keep no tab out: not those that are there, nor new ones.
func TestFloodOfSilentConns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 20 // so 16 may wait, and 8 of one address
		g := newRig(t, func(cfg *Config) { cfg.MaxConns = most })
		first := g.open(who("ann", "first"))
		attacker, visitor := g.svc.peerOf("192.0.2.1:1"), g.svc.peerOf("198.51.100.1:1")
		var silent []net.Conn
		for range 10 * most {
			nc, p := g.pipeFrom(attacker, nil)
			if nc != nil {
				silent = append(silent, nc)
			} else if p.Status != http.StatusTooManyRequests || p.Code != "too_many_conns_from_address" || p.RetryAfter <= 0 {
				t.Fatalf("refused with %+v", p)
			}
		}
		if len(silent) != 8 {
			t.Errorf("%d conns of one address wait, want 8", len(silent))
		}
		enter := func() *tabclient.Conn {
			nc, p := g.pipeFrom(visitor, nil)
			if p.Status != 0 {
				t.Fatalf("a tab is kept out: %+v", p)
			}
			return tabclient.On(nc)
		}
		late := enter()
		for i := range most - 1 {
			c := enter()
			hello(t, c, g.ticket(who("ann", fmt.Sprintf("s%d", i))))
			if f := next(t, c); f.Type != tab.TypeReady {
				t.Fatalf("tab %d got %+v", i, f)
			}
		}
		if _, p := g.pipeFrom(visitor, nil); p.Code != "too_many_conns" {
			t.Errorf("a tab too many gets %+v", p)
		}
		hello(t, late, g.ticket(who("ann", "late")))
		wantClose(t, late, tab.CloseOverloaded)
		_ = late.Close()
		_ = first.Close()
		synctest.Wait()
		again := enter()
		hello(t, again, g.ticket(who("ann", "again")))
		next(t, again)
		pass(tab.HelloTimeout + closeTimeout + writeTimeout)
		g.svc.mu.Lock()
		defer g.svc.mu.Unlock()
		if g.svc.tabs != most || g.svc.waiting != 0 || len(g.svc.waitingFrom) != 0 {
			t.Errorf("%d tabs, %d wait, from %v; want %d tabs", g.svc.tabs, g.svc.waiting, g.svc.waitingFrom, most)
		}
	})
}

// As many conns as may wait say nothing. Who shows a good ticket, or what he was given for one, with his request gets in all the same; who shows a bad one doesn't.
func TestSilentConnsKeepNoTicketOut(t *testing.T) {
	g := newRig(t, func(cfg *Config) { cfg.MaxHandshakes, cfg.MaxHandshakesPerIP = 5, -1 })
	addr := g.serveFront(nil, nil)
	for range 5 {
		g.dial("http://"+addr, "")
	}
	if _, err := tabclient.DialWith(t.Context(), "ws://"+addr, http.Header{"Origin": {site}}); err == nil {
		t.Error("there is still room for who says nothing")
	}
	c := g.offer(&ws.Dialer{}, "ws://"+addr, g.ticket(who("ann", "s1")))
	if f := next(t, c); f.Type != tab.TypeReady {
		t.Errorf("got %+v, want ready", f)
	}
	stream, err := tabclient.Reopen(t.Context(), http.DefaultClient, "http://"+addr, site, g.passFor(who("ann", "s2")), "")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if f := next(t, stream); f.Type != tab.TypeReady {
		t.Errorf("got %+v, want ready", f)
	}
	if n := g.svc.Open(); n != 7 {
		t.Errorf("%d conns, want 7", n)
	}
	// A ticket that was used before is looked at without a place among those who wait, and leaves none behind.
	used := g.ticket(who("ann", "s3"))
	if _, err := g.svc.redeem(used, site); err != nil {
		t.Fatal(err)
	}
	w := g.call(http.MethodGet, pathConnect, "", map[string]string{"Origin": site, "Upgrade": "websocket", "Sec-WebSocket-Protocol": tab.Subprotocol + ", " + tab.OfferTicket + used})
	if w.Code != http.StatusUnauthorized || g.svc.Open() != 7 {
		t.Errorf("got %d %s, and %d conns", w.Code, w.Body, g.svc.Open())
	}
}

func TestMaxHandshakesByDefault(t *testing.T) {
	for _, c := range []struct{ conns, handshakes, perIP, want, wantPerIP int }{
		{0, 0, 0, 450, 225},
		{100_000, 0, 0, 450, 225},
		{4_000, 0, 0, 400, 200},
		{50, 0, 0, 16, 8},
		{1, 0, 0, 1, 1},
		{50, 30, 0, 30, 15},
		{50, 30, 3, 30, 3},
		{50, 30, -1, 30, -1},
	} {
		g := newRig(t, func(cfg *Config) {
			cfg.MaxConns, cfg.MaxHandshakes, cfg.MaxHandshakesPerIP = c.conns, c.handshakes, c.perIP
		})
		if got := g.svc.cfg; got.MaxHandshakes != c.want || got.MaxHandshakesPerIP != c.wantPerIP {
			t.Errorf("%+v: got %d and %d", c, got.MaxHandshakes, got.MaxHandshakesPerIP)
		}
	}
}

func TestPeerOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:5":              "192.0.2.1/32",
		"[::ffff:192.0.2.1]:6":     "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:7": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:8":         "fe80::/64",
		"@":                        "invalid Prefix",
		"":                         "invalid Prefix",
	} {
		if got := peerNetwork(remote).String(); got != want {
			t.Errorf("%q is %s, want %s", remote, got, want)
		}
	}
}

func TestDrainingRefuses(t *testing.T) {
	g := newRig(t, nil)
	url := g.serve()
	g.svc.Drain(t.Context())
	resp, _, _ := upgrade(t, url, upgradeHeaders+"Sec-WebSocket-Protocol: "+tab.Subprotocol+"\r\n", nil)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("got %d %v", resp.StatusCode, resp.Header)
	}
}

// The end to end of a tab, over TCP.
func TestOverTCP(t *testing.T) {
	g := newRig(t, nil)
	url := g.serve()
	s := who("ann", "s1")
	c := g.dial(url, g.ticket(s))
	if f := next(t, c); f.Type != tab.TypeReady {
		t.Fatalf("got %+v", f)
	}
	half := g.dial(url, g.ticket(who("bob", "s2")))
	next(t, half)
	if err := half.NetConn().(*net.TCPConn).CloseWrite(); err != nil { //nolint:forcetypeassert // TCP it is
		t.Fatal(err)
	}
	if _, err := io.ReadAll(half.NetConn()); err != nil {
		t.Errorf("after half a close: %v, want the end", err)
	}
	e := sessionRevoked(s, "bye")
	g.publish(e)
	if f := next(t, c); f.ID != e.ID || f.Message != "bye" {
		t.Fatalf("got %+v", f)
	}
	if err := c.Ack(e.ID, tab.OutcomeSignedOut); err != nil {
		t.Fatal(err)
	}
	wantClose(t, c, tab.CloseSignedOut)
	eventually(t, "no conn is left", func() bool { return g.svc.Open() == 0 })
}

// The close frame gets through although the peer first sends all of what is too much.
func TestCloseFrameIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		c := g.open(who("ann", "s1"))
		if _, err := c.NetConn().Write(frame(fin|textOp, make([]byte, 200<<10))); err != nil {
			t.Fatal(err)
		}
		wantClose(t, c, tab.CloseTooLarge)
	})
}

// tlsPair returns both ends of a TLS conn over a pipe.
func tlsPair(t *testing.T, cert tls.Certificate) (client, server *tls.Conn) {
	t.Helper()
	here, there := newPipe(t)
	server = tls.Server(there, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true})
	client = tls.Client(here, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	shaken := make(chan error, 1)
	go func() { shaken <- server.HandshakeContext(t.Context()) }()
	if err := errors.Join(client.HandshakeContext(t.Context()), <-shaken); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func testCert(t *testing.T) tls.Certificate {
	t.Helper()
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	return srv.TLS.Certificates[0]
}

// Close of TLS writes, and waits for up to 5 s for a peer that doesn't read. Giving a conn up mustn't: the heartbeat does it for all.
func TestGivingUpTLSDoesNotBlock(t *testing.T) {
	cert := testCert(t)
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		client, server := tlsPair(t, cert)
		if p := g.svc.enter(peerKey(0), false); p.Status != 0 {
			t.Fatal(p)
		}
		go g.svc.open(g.svc.newWebSocket(server, nil, peerKey(0)), caller{origin: site})
		conn := tabclient.On(client)
		hello(t, conn, g.ticket(who("ann", "s1")))
		if f := next(t, conn); f.Type != tab.TypeReady {
			t.Fatalf("got %+v", f)
		}
		synctest.Wait() // no write is under way, which Close would only break
		began := time.Now()
		g.onlyConn().fail(tab.CloseOverloaded)
		if took := time.Since(began); took != 0 {
			t.Errorf("blocked for %v", took)
		}
		synctest.Wait()
		if g.svc.Open() != 0 {
			t.Error("the conn is still there")
		}
	})
}

// spread reports whether a Retry-After is one of those that callers are refused with who come together.
func spread(seconds string) bool {
	n, err := strconv.Atoi(seconds)
	return err == nil && n >= 2 && n <= 10
}
