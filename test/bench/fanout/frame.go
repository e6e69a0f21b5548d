package main

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Opcodes of RFC 6455 section 5.2.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// mask is the same for all frames. A browser's must not be guessed, for the sake of proxies; here is none.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// appendFrame appends a client's frame: whole, masked, of at most 65,535 bytes.
func appendFrame(b []byte, op byte, payload []byte) []byte {
	b = append(b, 0x80|op)
	if len(payload) < 126 {
		b = append(b, 0x80|byte(len(payload)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(len(payload)))
	}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

var (
	// errShort is returned when the rest of a frame hasn't come yet.
	errShort = errors.New("frame isn't whole")
	// errFrame is returned for what the gateway doesn't send: fragments, masked frames, and frames of more than 65,535 bytes.
	errFrame = errors.New("not a frame of the gateway's")
)

// parseFrame reads a server's frame. payload and rest are parts of b.
func parseFrame(b []byte) (op byte, payload, rest []byte, err error) {
	if len(b) < 2 {
		return 0, nil, b, errShort
	}
	op, length, from := b[0]&0xf, int(b[1]), 2
	if b[0]&0xf0 != 0x80 || length > 126 {
		return 0, nil, b, errFrame
	}
	if length == 126 {
		if len(b) < 4 {
			return 0, nil, b, errShort
		}
		length, from = int(binary.BigEndian.Uint16(b[2:])), 4
	}
	if len(b) < from+length {
		return 0, nil, b, errShort
	}
	return op, b[from : from+length], b[from+length:], nil
}

// What the gateway's frames begin with. Decoding each as JSON would cost the tabs, which share the processors with the gateway, as much as it costs the gateway to send it.
var (
	readyPrefix  = []byte(`{"type":"ready"`)
	logoutPrefix = []byte(`{"type":"logout"`)
	idMember     = []byte(`"id":"`)
)

// noticeID returns the id of a logout notice, as a part of payload; nil if there is none.
func noticeID(payload []byte) []byte {
	if !bytes.HasPrefix(payload, logoutPrefix) {
		return nil
	}
	_, after, _ := bytes.Cut(payload, idMember)
	id, _, found := bytes.Cut(after, []byte{'"'})
	if !found {
		return nil
	}
	return id
}

// closedAbnormally stands for no close frame at all (section 7.4.1).
const closedAbnormally = 1006

// closeCode returns the code of a close frame, and 1005 (section 7.4.1) if it has none.
func closeCode(payload []byte) int {
	if len(payload) < 2 {
		return 1005
	}
	return int(binary.BigEndian.Uint16(payload))
}
