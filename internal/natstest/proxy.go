package natstest

import (
	"net"
	"sync"
	"testing"
)

// Proxy is a TCP link that a test can make fail. A stalled one keeps its connections open and accepts new ones, but passes
// nothing on in either direction, like a firewall that lost its state: neither side gets an error.
type Proxy struct {
	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu     sync.Mutex
	flow   chan struct{} // guarded by mu; closed while bytes flow
	conns  map[net.Conn]struct{}
	closed bool
}

// NewProxy listens on a free port of 127.0.0.1 and passes connections on to target (host:port). It is closed when the test
// ends. All methods are safe for concurrent use.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("proxy: %v", err)
	}
	p := &Proxy{listener: listener, target: target, flow: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(p.flow)
	p.work.Go(p.accept)
	t.Cleanup(p.Close)
	return p
}

// Addr is the proxy's host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL is the nats:// URL of Addr.
func (p *Proxy) URL() string { return "nats://" + p.Addr() }

// Stall stops passing anything on, without closing.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flow:
		p.flow = make(chan struct{})
	default: // stalled already
	}
}

// Heal passes everything on again, also what was swallowed up to now: TCP would have sent it again too.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flow:
	default:
		close(p.flow)
	}
}

// Cut closes every connection that there is; new ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

// Close ends the proxy and waits for it. It is idempotent.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Cut()
	p.Heal()
	p.work.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(client) })
	}
}

// serve waits for the flow before it dials, so that a stalled proxy doesn't even give a banner.
func (p *Proxy) serve(client net.Conn) {
	if !p.add(client) {
		return
	}
	defer p.drop(client)
	p.await()
	server, err := net.Dial("tcp", p.target)
	if err != nil || !p.add(server) {
		return
	}
	defer p.drop(server)
	var copies sync.WaitGroup
	copies.Go(func() { p.copy(server, client) })
	copies.Go(func() { p.copy(client, server) })
	copies.Wait()
}

// copy closes both ends when either does, which ends the other direction too.
func (p *Proxy) copy(to, from net.Conn) {
	defer p.drop(to)
	defer p.drop(from)
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.await()
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (p *Proxy) await() {
	p.mu.Lock()
	flow := p.flow
	p.mu.Unlock()
	<-flow
}

func (p *Proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}
