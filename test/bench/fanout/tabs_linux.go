package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/curfewhq/curfew/events/tab"
)

// state is how far a tab is.
type state uint8

const (
	away       state = iota // has no socket
	connecting              // waits for TCP
	upgrading               // has sent its request
	greeting                // has shown its ticket
	ready
	noticed // has read a notice
	leaving // has answered a close frame
)

// aTab is one tab: few bytes, for there are thousands.
type aTab struct {
	fd    int32
	age   uint32 // counts its sockets, so that what the kernel says of an earlier one is known
	state state
	hello []byte
	// rest is the beginning of a frame that isn't whole.
	rest []byte
	// notice is the id to acknowledge.
	notice string
}

// request upgrades; the key is RFC 6455's example. No Origin: these tabs are a program.
var request = []byte("GET /v1/connect HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: " + tab.Subprotocol + "\r\n\r\n")

var (
	accepted = []byte("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
	status   = []byte("HTTP/1.1 101 ")
	headEnd  = []byte("\r\n\r\n")
)

// errRefused is returned when the gateway doesn't upgrade.
var errRefused = errors.New("refused")

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
	l.write(i, request)
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

// take goes through what a tab has read at an instant.
func (l *loader) take(i int, b []byte, at int64) error {
	t := &l.tabs[i]
	if len(t.rest) > 0 {
		b = append(t.rest, b...)
		t.rest = nil
	}
	if t.state == upgrading {
		head, after, whole := bytes.Cut(b, headEnd)
		if !whole {
			t.rest = bytes.Clone(b)
			return nil
		}
		if !bytes.HasPrefix(head, status) || !bytes.Contains(head, accepted) {
			return errRefused
		}
		t.state = greeting
		l.write(i, t.hello)
		b = after
	}
	for len(b) > 0 && t.fd >= 0 {
		op, payload, rest, err := parseFrame(b)
		if errors.Is(err, errShort) {
			t.rest = bytes.Clone(b)
			return nil
		}
		if err != nil {
			return err
		}
		l.frame(i, op, payload, at)
		b = rest
	}
	return nil
}

// frame takes one frame.
func (l *loader) frame(i int, op byte, payload []byte, at int64) {
	t := &l.tabs[i]
	switch op {
	case opPing:
		l.write(i, appendFrame(nil, opPong, payload))
	case opClose:
		if t.state == greeting {
			// Its ticket is used up.
			l.lost[fmt.Sprint("closed with ", closeCode(payload), " instead of ready")]++
			l.arrived()
		} else {
			l.codes[closeCode(payload)]++
		}
		t.state = leaving
		l.write(i, appendFrame(nil, opClose, payload))
	case opText:
		if t.state == greeting && bytes.HasPrefix(payload, readyPrefix) {
			t.state, t.hello = ready, nil
			l.readyCount, l.lastReady = l.readyCount+1, at
			l.arrived()
			return
		}
		if id := noticeID(payload); id != nil && t.state == ready {
			t.state = noticed
			t.notice = l.notices.add(id, at)
			l.owing = append(l.owing, i)
		}
	}
}

// acknowledge answers the notices that are owed one, as a tab that has signed itself out.
func (l *loader) acknowledge() {
	for _, i := range l.owing {
		if t := &l.tabs[i]; t.state == noticed {
			ack, err := tab.EncodeAck(tab.Ack{ID: t.notice, Outcome: tab.OutcomeSignedOut})
			if err != nil {
				l.gone(i, err)
				continue
			}
			l.write(i, appendFrame(nil, opText, ack))
		}
	}
	l.owing = l.owing[:0]
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
	case leaving:
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

// notices are those that were read: event → how many, and when.
type notices map[string]*tally

// tally is told, and the id in one piece for all its tabs.
type tally struct {
	told
	id string
}

// add counts a notice, and returns its id.
func (n notices) add(id []byte, at int64) string {
	t := n[string(id)]
	if t == nil {
		t = &tally{id: string(id), told: told{First: at}}
		n[t.id] = t
	}
	t.Count++
	t.Last = max(t.Last, at)
	return t.id
}
