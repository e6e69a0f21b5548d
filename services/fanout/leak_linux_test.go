package fanout

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
)

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// However conns end, their goroutines and file descriptors end too.
func TestNothingIsLeft(t *testing.T) {
	g := newRig(t, func(cfg *Config) { cfg.HelloTimeout = 50 * time.Millisecond })
	url := g.serve()
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	endings := []func(c *tabclient.Conn){
		func(c *tabclient.Conn) { _ = c.Close() },
		func(c *tabclient.Conn) { _ = c.NetConn().(*net.TCPConn).SetLinger(0); _ = c.Close() }, //nolint:forcetypeassert // TCP it is
		func(c *tabclient.Conn) { _ = c.SendFrame(ws.NewCloseFrame(nil)) },
		func(c *tabclient.Conn) { _, _ = c.NetConn().Write([]byte("no frame at all, but plenty of bytes")) },
		func(c *tabclient.Conn) { _ = c.Send([]byte("nonsense")) },
	}
	var all []*tabclient.Conn
	for i := range 10 {
		for j, end := range endings {
			c := g.dial(url, g.ticket(who("ann", fmt.Sprintf("s%d-%d", i, j))))
			next(t, c)
			end(c)
			all = append(all, c)
		}
		all = append(all, g.dial(url, "")) // never says hello
		resp, nc, _ := upgrade(t, url, "Origin: https://evil.com\r\n"+upgradeHeaders, nil)
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("got %d", resp.StatusCode)
		}
		_ = nc.Close()
	}
	eventually(t, "no conn is left", func() bool { return g.svc.Open() == 0 })
	if n := g.svc.hub.Len(); n != 0 {
		t.Errorf("%d conns are left in the hub", n)
	}
	for _, c := range all {
		_ = c.Close()
	}
	eventually(t, "files and goroutines are what they were", func() bool {
		// Three of Run's own may have begun since. Of conns there are ten that end alike.
		return openFiles(t) <= files && runtime.NumGoroutine() <= goroutines+3
	})
}

// With the kernel's own buffers a tab that doesn't read is noticed megabytes later. Those of a TLS conn are beneath it.
func TestKernelBuffersAreBounded(t *testing.T) {
	g := newRig(t, nil)
	mux := http.NewServeMux()
	g.svc.Routes(mux)
	for _, c := range []struct {
		name  string
		start func(*httptest.Server)
	}{{"TCP", (*httptest.Server).Start}, {"TLS", (*httptest.Server).StartTLS}} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(mux)
			c.start(srv)
			defer srv.Close()
			d := ws.Dialer{Protocols: []string{tab.Subprotocol}, TLSConfig: &tls.Config{InsecureSkipVerify: true}}
			nc, _, _, err := d.Dial(t.Context(), strings.Replace(srv.URL, "http", "ws", 1)+"/v1/connect")
			if err != nil {
				t.Fatal(err)
			}
			conn := tabclient.On(nc)
			hello(t, conn, g.ticket(who("ann", "s-"+c.name)))
			if f := next(t, conn); f.Type != tab.TypeReady {
				t.Fatalf("got %+v", f)
			}
			tcp, ok := socket(g.onlyConn().link).(*net.TCPConn)
			if !ok {
				t.Fatal("no TCP beneath")
			}
			raw, err := tcp.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			if err := raw.Control(func(fd uintptr) {
				// With TCP_USER_TIMEOUT a single keep-alive that is lost would end the conn at the next.
				if on, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE); err != nil || on != 0 {
					t.Errorf("keep-alives of the kernel: %d, %v; want 0", on, err)
				}
				// Linux doubles what it is given.
				if n, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF); err != nil || n > 32<<10 {
					t.Errorf("%d bytes, %v", n, err)
				}
				if ms, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout); err != nil || ms != int(unackedTimeout.Milliseconds()) {
					t.Errorf("given up after %d ms, %v", ms, err)
				}
			}); err != nil {
				t.Fatal(err)
			}
			_ = nc.Close()
			eventually(t, "no conn is left", func() bool { return g.svc.Open() == 0 })
		})
	}
}
