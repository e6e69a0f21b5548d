package fanout

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
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
	g := newRig(t, func(cfg *Config) { cfg.HelloTimeout = time.Second })
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
		// Three of Run's own may have begun since, and the poller, which stays. Of conns there are ten that end alike.
		return openFiles(t) <= files+1 && runtime.NumGoroutine() <= goroutines+4
	})
}

// With the kernel's own buffers a tab that doesn't read is noticed megabytes later. Those of a TLS conn are beneath it, and so are those of a connection that was used before.
func TestKernelBuffersAreBounded(t *testing.T) {
	cert := testCert(t)
	for name, dial := range waysIn {
		if name == "stream over HTTP/2" {
			continue // the connection is the server's, and carries others
		}
		t.Run(name, func(t *testing.T) {
			g := newRig(t, nil)
			c := dial(g, cert, who("ann", "s1"))
			next(t, c)
			own := g.onlyConn()
			tcp, ok := socket(own.link).(*net.TCPConn)
			if !ok {
				t.Fatalf("no TCP beneath %T", own.link)
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
				for _, buffer := range []int{syscall.SO_SNDBUF, syscall.SO_RCVBUF} {
					// Linux doubles what it is given.
					if n, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, buffer); err != nil || n > 32<<10 {
						t.Errorf("buffer %d: %d bytes, %v", buffer, n, err)
					}
				}
				if ms, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout); err != nil || ms != int(unackedTimeout.Milliseconds()) {
					t.Errorf("given up after %d ms, %v", ms, err)
				}
			}); err != nil {
				t.Fatal(err)
			}
			// Giving it up writes nothing, which could block whoever does it.
			began := time.Now()
			for range 100 {
				_ = writeNow(tcp, make([]byte, 64<<10))
			}
			own.fail(tab.CloseOverloaded)
			if took := time.Since(began); took > time.Second {
				t.Errorf("giving up took %v", took)
			}
			eventually(t, "no conn is left", func() bool { return g.svc.Open() == 0 })
		})
	}
}
