package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/curfewhq/curfew/events/tab"
)

// request returns what upgrades and offers a ticket; the key is RFC 6455's example. No Origin: these tabs are a program.
func request(ticket string) []byte {
	return []byte("GET /v1/connect HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: " + tab.Subprotocol + ", " + tab.OfferTicket + ticket + "\r\n\r\n")
}

var (
	accepted  = []byte("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
	status    = []byte("HTTP/1.1 101 ")
	badTicket = []byte("HTTP/1.1 401 ")
	headEnd   = []byte("\r\n\r\n")
)

var (
	// errRefused is returned when the gateway doesn't upgrade.
	errRefused = errors.New("refused")
	// errTicket is returned when it won't either the next time.
	errTicket = errors.New("ticket refused")
)

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
		if bytes.HasPrefix(head, badTicket) {
			t.state = greeting
			return errTicket
		}
		if !bytes.HasPrefix(head, status) || !bytes.Contains(head, accepted) {
			return errRefused
		}
		t.state = greeting
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
			t.state, t.request = ready, nil
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
