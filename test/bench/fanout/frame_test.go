package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
)

// What tabs send is what a server reads.
func TestAppendFrame(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 4096} {
		payload := []byte(strings.Repeat("x", n))
		from := bytes.NewReader(appendFrame(nil, opText, payload))
		h, err := ws.ReadHeader(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := ws.CheckHeader(h, ws.StateServerSide); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		got, err := io.ReadAll(from)
		if ws.Cipher(got, h.Mask, 0); err != nil || h.OpCode != ws.OpText || int(h.Length) != n || !bytes.Equal(got, payload) {
			t.Errorf("%d bytes: read as %v with %d of %d bytes: %v", n, h.OpCode, len(got), h.Length, err)
		}
	}
}

// Frames come in pieces, and several at once.
func TestParseFrame(t *testing.T) {
	var stream []byte
	var want []string
	for _, f := range []ws.Frame{
		ws.NewTextFrame([]byte(`{"type":"ready"}`)), ws.NewPingFrame(nil), ws.NewTextFrame(bytes.Repeat([]byte("y"), 300)),
		ws.NewCloseFrame(ws.NewCloseFrameBody(4501, "signed out")),
	} {
		stream = append(stream, ws.MustCompileFrame(f)...)
		want = append(want, string(f.Payload))
	}
	for piece := 1; piece <= len(stream); piece++ {
		var got []string
		var ops []byte
		var rest []byte
		for b := stream; len(b) > 0; {
			n := min(piece, len(b))
			rest = append(bytes.Clone(rest), b[:n]...)
			b = b[n:]
			for {
				op, payload, after, err := parseFrame(rest)
				if errors.Is(err, errShort) {
					break
				}
				if err != nil {
					t.Fatalf("in pieces of %d: %v", piece, err)
				}
				got, ops, rest = append(got, string(payload)), append(ops, op), after
			}
		}
		if strings.Join(got, "|") != strings.Join(want, "|") || !bytes.Equal(ops, []byte{opText, opPing, opText, opClose}) || len(rest) > 0 {
			t.Fatalf("in pieces of %d: %q, opcodes %v, %d bytes are left", piece, got, ops, len(rest))
		}
	}
}

func TestParseFrameRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"a fragment":      {0x01, 0x00},
		"reserved bits":   {0xC1, 0x00},
		"a masked frame":  appendFrame(nil, opText, []byte("x")),
		"eight length":    {0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0},
		"text, not bytes": []byte("HTTP/1.1 400 Bad Request"),
	} {
		if _, _, _, err := parseFrame(b); !errors.Is(err, errFrame) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// The beginnings that tabs look for are those of the protocol's encoder.
func TestNoticeID(t *testing.T) {
	logout, err := tab.EncodeLogout(tab.Logout{ID: "0192", Scope: "user", Reason: "admin", Message: `"id":"other"`, At: "2026-01-02T03:04:05.000Z"})
	if err != nil {
		t.Fatal(err)
	}
	ready, err := tab.EncodeReady(tab.Ready{Session: "s"})
	if err != nil {
		t.Fatal(err)
	}
	if id := noticeID(logout); string(id) != "0192" {
		t.Errorf("got %q of %s", id, logout)
	}
	if id := noticeID(ready); id != nil || !bytes.HasPrefix(ready, readyPrefix) {
		t.Errorf("%s is a notice with id %q", ready, id)
	}
	for _, payload := range []string{"", `{"type":"logout"}`, `{"type":"logout","id":"cut`} {
		if id := noticeID([]byte(payload)); id != nil {
			t.Errorf("%s has id %q", payload, id)
		}
	}
}

func TestCloseCode(t *testing.T) {
	if got := closeCode(ws.NewCloseFrameBody(4501, "signed out")); got != signedOut {
		t.Errorf("got %d", got)
	}
	if got := closeCode(nil); got != 1005 {
		t.Errorf("got %d for none", got)
	}
}
