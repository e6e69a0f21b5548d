package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// state is how far a tab is.
type state uint8

const (
	away       state = iota // has no socket
	connecting              // waits for TCP
	upgrading               // has sent its request
	greeting                // has been upgraded, or never will be
	ready
	noticed // has read a notice
	leaving // has answered a close frame
)

// aTab is one tab: few bytes, for there are thousands.
type aTab struct {
	fd    int32
	age   uint32 // counts its sockets, so that what the kernel says of an earlier one is known
	state state
	// request is what it will connect with; nil once it is ready.
	request []byte
	// rest is the beginning of a frame that isn't whole.
	rest []byte
	// notice is the id to acknowledge.
	notice string
}

// writable goes on with a tab whose socket can be written to: that of one that connects is connected.
func (l *loader) writable(i int) {
	if l.tabs[i].state != connecting {
		return
	}
	if code, err := unix.GetsockoptInt(int(l.tabs[i].fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
		l.gone(i, errors.Join(err, unix.Errno(code)))
		return
	}
	l.tabs[i].state = upgrading
	l.write(i, l.tabs[i].request)
}

// write writes all of b: it is short, and the kernel's buffer empty.
func (l *loader) write(i int, b []byte) {
	if n, err := unix.Write(int(l.tabs[i].fd), b); err != nil || n < len(b) {
		l.gone(i, fmt.Errorf("write: %d of %d bytes: %w", n, len(b), err))
	}
}

// readable reads all that has come for a tab.
func (l *loader) readable(i int) {
	for t := &l.tabs[i]; t.fd >= 0; {
		n, err := unix.Read(int(t.fd), l.buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			l.gone(i, err)
			return
		case n == 0:
			l.gone(i, errors.New("closed"))
			return
		}
		if err := l.take(i, l.buf[:n], time.Now().UnixNano()); err != nil {
			l.gone(i, err)
			return
		}
		if n < len(l.buf) {
			return // the socket is empty (epoll(7)); what comes now is told anew
		}
	}
}

// gone closes a tab's socket, and says what that means.
func (l *loader) gone(i int, why error) {
	t := &l.tabs[i]
	if t.fd < 0 {
		return
	}
	was := t.state
	l.shut(i)
	switch was {
	case connecting, upgrading:
		// The ticket is still good.
		l.refused++
		l.lastWhy = why
		l.queue = append(l.queue, i)
		l.pause = time.Now().Add(5 * time.Millisecond)
		l.inFlight--
	case greeting:
		l.lost["before ready: "+why.Error()]++
		l.arrived()
	case leaving, noticed:
		if was == noticed {
			l.codes[closedAbnormally]++
		}
		l.ended, l.lastEnd = l.ended+1, time.Now().UnixNano()
	default:
		l.lost[why.Error()]++
	}
}

// shut closes a tab's socket, with a reset.
func (l *loader) shut(i int) {
	t := &l.tabs[i]
	_ = unix.Close(int(t.fd))
	t.fd, t.state, t.rest = -1, away, nil
	t.age++
}
