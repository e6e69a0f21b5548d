package fanout

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// sortTimeout is for how long a connection may take to say what it is for: to shake hands if it speaks TLS, and to send the first bytes.
	sortTimeout = 5 * time.Second
	// timeToSpeak is for how long a connection may keep silent although others wait for its place.
	timeToSpeak = time.Second
	// warnEvery is how often it is said that the system has no room for one more connection.
	warnEvery = 10 * time.Second
	// longestPause is the longest pause after the system had no room for one more connection.
	longestPause = time.Second
)

// tabLines are how the first requests of connections begin that are a tab's. They have one length; whether the path ends there, the next byte tells.
var tabLines = []string{"GET " + pathConnect, "GET " + pathNotices}

// sortedBytes is how many first bytes tell what a connection is for. No request is shorter.
const sortedBytes = len("GET " + pathConnect + " ")

// Front takes the connections of l whose first request is a tab's, and leaves all others to who accepts from the listener that it returns. A tab's conn then
// costs what it needs and nothing else: what the HTTP server sets up for each connection would stay for hours. Tabs whose requests come on a connection that
// was used before, or within one of HTTP/2, are served all the same, by Routes.
//
// If l accepts [*tls.Conn]s, those on which HTTP/2 is spoken are left as they are, after their handshake. Closing the returned listener closes l, and the connections that
// haven't said what they are for. It accepts until then, whether somebody accepts from it or not: what is no tab's waits for that.
func (s *Service) Front(l net.Listener) net.Listener {
	f := &front{
		Listener: l, svc: s, rest: make(chan net.Conn), done: make(chan struct{}), failed: make(chan struct{}),
		sorting: map[net.Conn]sorted{}, sortingFrom: map[peerKey]int{}, room: make(chan struct{}, 1),
	}
	f.work.Go(f.accept)
	return f
}

// front is the listener of Front.
type front struct {
	net.Listener
	svc *Service
	// rest passes on what is no tab's.
	rest chan net.Conn
	// done is closed by Close, and failed once there is an err with which accepting has ended.
	done, failed chan struct{}
	once         sync.Once
	err          error
	// work counts accept and sort.
	work sync.WaitGroup

	mu sync.Mutex
	// sorting: connection that hasn't said what it is for, or as a tab all that it wants → where it comes from, and since when it is there; nil after Close. sortingFrom counts
	// them by where they come from.
	sorting     map[net.Conn]sorted
	sortingFrom map[peerKey]int
	// room has a token when there may be room for one more.
	room chan struct{}
}

// sorted is a connection that is being sorted.
type sorted struct {
	peer peerKey
	// since is on the service's clock.
	since int64
}

func (f *front) Accept() (net.Conn, error) {
	select {
	case nc := <-f.rest:
		return nc, nil
	case <-f.failed:
		return nil, f.err
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *front) Close() error {
	f.once.Do(func() { close(f.done) })
	err := f.Listener.Close()
	f.mu.Lock()
	for nc := range f.sorting {
		_ = socket(nc).Close()
	}
	f.sorting = nil
	f.mu.Unlock()
	f.work.Wait()
	return err
}

// begin notes a connection that is to be sorted, unless there is no room: then it returns after how long there may be, or that there won't be for this one.
//
// Sorting takes a moment, and TLS some milliseconds, so there are few at a time unless somebody keeps silent. Whoever does gives way to who comes, once he has had the time that
// it takes to speak: the longest silent one of the peer that has the most. So nobody keeps others out by saying nothing, from however many addresses.
func (f *front) begin(nc net.Conn) (wait time.Duration, refused bool) {
	peer, now := f.svc.peerOf(nc.RemoteAddr().String()), f.svc.clock()
	most, ofOne := f.svc.cfg.MaxHandshakes, f.svc.cfg.MaxHandshakesPerIP
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.sorting == nil:
		return 0, true
	case ofOne > 0 && f.sortingFrom[peer] >= ofOne:
		if f.evictLocked(now, func(s sorted) bool { return s.peer == peer }) > 0 {
			return 0, true
		}
	case len(f.sorting) >= most:
		mostOfOne := slices.Max(slices.Collect(maps.Values(f.sortingFrom)))
		if wait := f.evictLocked(now, func(s sorted) bool { return f.sortingFrom[s.peer] == mostOfOne }); wait > 0 {
			return wait, false
		}
	}
	f.sorting[nc] = sorted{peer, now}
	f.sortingFrom[peer]++
	return 0, false
}

// evictLocked closes the connection that has been sorted for the longest among some of which there is one, or returns for how long that must still be let be.
func (f *front) evictLocked(now int64, among func(sorted) bool) (wait time.Duration) {
	var oldest net.Conn
	for nc, s := range f.sorting {
		if among(s) && (oldest == nil || s.since < f.sorting[oldest].since) {
			oldest = nc
		}
	}
	if wait := timeToSpeak - time.Duration(now-f.sorting[oldest].since)*time.Millisecond; wait > 0 {
		return wait
	}
	f.svc.cfg.Metrics.Refused.WithLabelValues("too_many_connections").Inc()
	_ = socket(oldest).Close()
	f.endLocked(oldest)
	return 0
}

// end says that a connection is no longer to be closed by Close, nor in favour of another: it is closed, or has an owner.
func (f *front) end(nc net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endLocked(nc)
}

func (f *front) endLocked(nc net.Conn) {
	s, there := f.sorting[nc]
	if !there {
		return
	}
	delete(f.sorting, nc)
	if f.sortingFrom[s.peer]--; f.sortingFrom[s.peer] == 0 {
		delete(f.sortingFrom, s.peer)
	}
	select {
	case f.room <- struct{}{}:
	default: // it has been said
	}
}

// admit waits until there is room for a connection, and reports whether it is to be sorted. Those that come meanwhile wait in the kernel.
func (f *front) admit(nc net.Conn) bool {
	for {
		wait, refused := f.begin(nc)
		switch {
		case refused:
			return false
		case wait == 0:
			return true
		}
		select {
		case <-f.room:
		case <-time.After(wait):
		case <-f.done:
			return false
		}
	}
}

// accept goes on when the system has no room for one more connection, as the HTTP server would.
func (f *front) accept() {
	pause, warned := time.Duration(0), time.Time{}
	for {
		nc, err := f.Listener.Accept()
		var passing interface{ Temporary() bool }
		switch {
		case err == nil:
			pause = 0
			if !f.admit(nc) {
				f.svc.cfg.Metrics.Refused.WithLabelValues("too_many_connections").Inc()
				_ = socket(nc).Close()
				continue
			}
			f.work.Go(func() { f.sort(nc) })
		case errors.As(err, &passing) && passing.Temporary():
			pause = min(max(2*pause, 5*time.Millisecond), longestPause)
			if time.Since(warned) > warnEvery {
				warned = time.Now()
				f.svc.cfg.Log.WithError(err).Warn("no room for one more connection: raise the limit of open files, or add a gateway")
			}
			select {
			case <-time.After(pause):
			case <-f.done:
			}
		default:
			f.err = err
			close(f.failed)
			return
		}
	}
}

// sort reads the first bytes of a connection. One that is silent costs a small goroutine and no buffer.
func (f *front) sort(nc net.Conn) {
	_ = nc.SetReadDeadline(time.Now().Add(sortTimeout))
	if t, ok := nc.(*tls.Conn); ok {
		ctx, cancel := context.WithTimeout(f.svc.ctx, sortTimeout)
		err := t.HandshakeContext(ctx)
		cancel()
		if err != nil {
			f.end(nc)
			_ = nc.Close()
			return
		}
		if t.ConnectionState().NegotiatedProtocol == "h2" {
			f.end(nc)
			f.pass(nc)
			return
		}
	}
	first := make([]byte, sortedBytes)
	_, err := io.ReadFull(nc, first)
	if err == nil && isTab(first) {
		f.svc.crew.do(func() { f.svc.serveTab(nc, first, func() { f.end(nc) }) })
		return
	}
	f.end(nc)
	if err != nil {
		_ = nc.Close()
		return
	}
	f.pass(&begun{Conn: nc, first: first})
}

func isTab(first []byte) bool {
	line, next := string(first[:len(first)-1]), first[len(first)-1]
	return slices.Contains(tabLines, line) && (next == ' ' || next == '?')
}

// pass gives a connection to who accepts.
func (f *front) pass(nc net.Conn) {
	_ = nc.SetReadDeadline(time.Time{})
	select {
	case f.rest <- nc:
	case <-f.failed:
		_ = nc.Close()
	case <-f.done:
		_ = nc.Close()
	}
}

// begun is a connection of which the first bytes were read already.
type begun struct {
	net.Conn
	mu    sync.Mutex
	first []byte
}

func (b *begun) Read(p []byte) (int, error) {
	b.mu.Lock()
	if len(b.first) == 0 {
		b.mu.Unlock()
		return b.Conn.Read(p)
	}
	defer b.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}
