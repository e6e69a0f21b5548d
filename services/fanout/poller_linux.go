package fanout

import (
	"bytes"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// heardAtOnce is how much of what a peer has said is read at a time: more than its longest message.
const heardAtOnce = 8 << 10

// poller waits for what the peers of all polled conns say, in one goroutine, which begins with the first of them. That saves each of them a goroutine with its stack, which is more
// than half of what a conn needs. Its zero value is ready; close it. Its methods are safe for concurrent use, but for remove, which is its own goroutine's.
type poller struct {
	work sync.WaitGroup

	mu sync.Mutex
	// file is the instance of epoll, which Go's own poller waits for, and fd its descriptor; nil before the first conn. closed is whether it won't be there again.
	file   *os.File
	fd     int
	closed bool
	// conns are the polled ones, each at its place, and nil where nobody is: free has those places.
	conns []*conn
	free  []int32
}

// add has the poller wait for a conn, and reports whether it does.
func (p *poller) add(c *conn) bool {
	t := plain(c.link)
	if t == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.openLocked() {
		return false
	}
	place := int32(len(p.conns))
	if last := len(p.free) - 1; last >= 0 {
		place, p.free = p.free[last], p.free[:last]
	} else {
		p.conns = append(p.conns, nil)
	}
	// Told as long as there is something to read: what isn't taken at once is told again.
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP, Fd: place}
	p.conns[place], c.place = c, place
	err := withSocket(t, func(fd int) error { return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, fd, &event) })
	if err != nil {
		p.freeLocked(c)
	}
	return err == nil
}

// remove has it no longer wait for a conn.
func (p *poller) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.freeLocked(c)
	// Fails only for a socket that is closed, and so isn't waited for.
	_ = withSocket(plain(c.link), func(fd int) error { return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_DEL, fd, nil) })
}

func (p *poller) freeLocked(c *conn) {
	p.conns[c.place] = nil
	p.free = append(p.free, c.place)
}

// openLocked reports whether there is an instance of epoll, after making one for the first conn.
func (p *poller) openLocked() bool {
	if p.file != nil || p.closed {
		return !p.closed
	}
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	// So that Go's own poller takes it.
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return false
	}
	p.file, p.fd = os.NewFile(uintptr(fd), "epoll"), fd
	raw, err := p.file.SyscallConn()
	if err != nil {
		_ = p.file.Close()
		p.closed = true
		return false
	}
	p.work.Go(func() { p.run(raw) })
	return true
}

// close ends the waiting. No conn is polled any more.
func (p *poller) close() {
	p.mu.Lock()
	if p.closed = true; p.file != nil {
		_ = p.file.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}

func (p *poller) run(raw syscall.RawConn) {
	defer p.giveBack()
	events := make([]syscall.EpollEvent, breath)
	conns := make([]*conn, breath)
	heard := make([]byte, heardAtOnce)
	in := new(bytes.Reader)
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			var err error
			n, err = syscall.EpollWait(int(fd), events, 0)
			return err == nil && n > 0
		})
		if err != nil {
			return // it is closed, or of no use
		}
		p.mu.Lock()
		for i, e := range events[:n] {
			conns[i] = p.conns[e.Fd]
		}
		p.mu.Unlock()
		for _, c := range conns[:n] {
			if c != nil {
				p.hear(c, heard, in)
			}
		}
		clear(conns)
		if n == len(events) {
			// So that the runtime looks for what else has come over the network, the events above all, which it would otherwise do every ten milliseconds.
			time.Sleep(time.Microsecond)
		}
	}
}

// giveBack has conns that are still polled, if the waiting has failed, be waited for by a goroutine each, and polls no more.
func (p *poller) giveBack() {
	p.mu.Lock()
	p.closed = true
	left := slices.DeleteFunc(slices.Clone(p.conns), func(c *conn) bool { return c == nil })
	p.mu.Unlock()
	for _, c := range left {
		c.unpoll()
		go c.listen()
	}
}

// hear reads what a conn's peer has said.
func (p *poller) hear(c *conn, heard []byte, in *bytes.Reader) {
	n := 0
	err := withSocket(plain(c.link), func(fd int) (err error) {
		n, err = syscall.Read(fd, heard)
		return err
	})
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR: //nolint:errorlint // as package syscall returns it
		return
	case err == nil && n == 0:
		err = io.EOF
	}
	c.said(heard[:max(n, 0)], err, in)
}
