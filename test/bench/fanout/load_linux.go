package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// orderTimeout is how long an order may take.
const orderTimeout = 2 * time.Minute

// loader is a process full of tabs. All of it is one goroutine: a tab's instant is when this goroutine has read, and nothing comes between the two.
type loader struct {
	epoll  int
	events []unix.EpollEvent
	buf    []byte
	out    *json.Encoder
	// line is the beginning of the next order.
	line []byte

	tabs []aTab
	to   unix.Sockaddr
	// queue are the tabs that are to connect, at most window at once, and not before pause.
	queue            []int
	inFlight, window int
	pause            time.Time
	// hold keeps acknowledgements back; owing are those that are owed.
	hold  bool
	owing []int

	notices notices
	// began is when the last order to connect did; readyCount and lastReady are since then.
	began, lastReady int64
	readyCount       int
	// ended counts conns that the gateway has closed, the last at lastEnd; codes: close code → how many.
	ended   int
	lastEnd int64
	codes   map[int]int
	// lost: why → how many conns were lost. refused counts tries before hello, lastWhy is why the last of them failed.
	lost    map[string]int
	refused int
	lastWhy error

	// pending tells whether the order that is under way is done, which it must be by pendingUntil.
	pending      func() (answer, bool)
	pendingUntil time.Time
	inputEnded   bool
}

// load runs tabs until its standard input ends.
func load(out io.Writer) error {
	if err := raiseFiles(); err != nil {
		return err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make an epoll: %w", err)
	}
	l := &loader{epoll: epoll, events: make([]unix.EpollEvent, 256), buf: make([]byte, 64<<10), out: json.NewEncoder(out), notices: notices{}, codes: map[int]int{}, lost: map[string]int{}}
	defer l.close()
	if err := errors.Join(unix.SetNonblock(0, true), unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, 0, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1})); err != nil {
		return fmt.Errorf("watch the standard input: %w", err)
	}
	for !l.inputEnded {
		if err := l.turn(); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) close() {
	for i := range l.tabs {
		if l.tabs[i].fd >= 0 {
			l.shut(i)
		}
	}
	_ = unix.Close(l.epoll)
}

// turn waits for something, and does what there is to do.
func (l *loader) turn() error {
	timeout := 100
	if len(l.queue) > 0 && l.inFlight < l.window {
		timeout = max(0, int(time.Until(l.pause).Milliseconds())+1)
	}
	n, err := unix.EpollWait(l.epoll, l.events, timeout)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait: %w", err)
	}
	for _, e := range l.events[:max(n, 0)] {
		if e.Fd < 0 {
			if err := l.input(); err != nil {
				return err
			}
			continue
		}
		i := int(e.Fd)
		if i >= len(l.tabs) || uint32(e.Pad) != l.tabs[i].age || l.tabs[i].fd < 0 {
			continue // of a socket that is closed
		}
		if e.Events&unix.EPOLLOUT != 0 {
			l.writable(i)
		}
		if e.Events&^unix.EPOLLOUT != 0 && l.tabs[i].fd >= 0 {
			l.readable(i)
		}
	}
	if !l.hold {
		l.acknowledge()
	}
	if err := l.connectMore(); err != nil {
		return err
	}
	return l.settle()
}

// connectMore opens sockets up to the window.
func (l *loader) connectMore() error {
	for len(l.queue) > 0 && l.inFlight < l.window && !time.Now().Before(l.pause) {
		i := l.queue[0]
		l.queue = l.queue[1:]
		fd, connected, err := open(i, l.to)
		if err != nil {
			return err
		}
		t := &l.tabs[i]
		t.fd, t.state = int32(fd), connecting
		l.inFlight++
		watch := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(i), Pad: int32(t.age)}
		if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &watch); err != nil {
			return fmt.Errorf("watch a socket: %w", err)
		}
		if connected {
			t.state = upgrading
			l.write(i, l.tabs[i].request)
		}
	}
	return nil
}

// arrived ends a handshake.
func (l *loader) arrived() { l.inFlight-- }

// settle answers the order that waits, if it can be, or has waited for long enough.
func (l *loader) settle() error {
	if l.pending == nil {
		return nil
	}
	a, done := l.pending()
	if !done && time.Now().Before(l.pendingUntil) {
		return nil
	}
	if !done {
		a.Error = fmt.Sprintf("not done after %v: %d ready, %d in flight, %d to come, %d refused (the last: %v), lost %v, closed %v",
			orderTimeout, l.readyCount, l.inFlight, len(l.queue), l.refused, l.lastWhy, l.lost, l.codes)
	}
	l.pending = nil
	return l.out.Encode(a)
}

// input reads orders.
func (l *loader) input() error {
	b := make([]byte, 4096)
	n, err := unix.Read(0, b)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("read orders: %w", err)
	case n == 0:
		l.inputEnded = true
		return nil
	}
	line, rest, whole := bytes.Cut(append(l.line, b[:n]...), []byte{'\n'})
	if !whole {
		l.line = line
		return nil
	}
	l.line = bytes.Clone(rest)
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return err
	}
	l.pendingUntil = time.Now().Add(orderTimeout)
	if err := l.do(context.Background(), o); err != nil {
		l.pending = nil
		return l.out.Encode(answer{Error: err.Error()})
	}
	return nil
}
