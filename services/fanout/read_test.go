package fanout

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
)

// frame builds what a peer sends, right or wrong: first is FIN, RSV and opcode, the payload is masked.
func frame(first byte, payload []byte) []byte {
	return rawFrame(first, uint64(len(payload)), shortest(len(payload)), payload)
}

// rawFrame declares any length, in 0, 2 or 8 further bytes.
func rawFrame(first byte, length uint64, further int, payload []byte) []byte {
	b := []byte{first}
	switch further {
	case 0:
		b = append(b, 0x80|byte(length))
	case 2:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), length)
	}
	mask := [4]byte{1, 2, 3, 4}
	b = append(b, mask[:]...)
	masked := bytes.Clone(payload)
	ws.Cipher(masked, mask, 0)
	return append(b, masked...)
}

func shortest(n int) int {
	switch {
	case n < 126:
		return 0
	case n < 1<<16:
		return 2
	}
	return 8
}

func closeFrame(code uint16, reason string) []byte {
	return frame(0x88, append(binary.BigEndian.AppendUint16(nil, code), reason...))
}

const (
	fin      = 0x80
	cont     = 0x00
	textOp   = 0x01
	binaryOp = 0x02
	pingOp   = 0x09
	pongOp   = 0x0a
)

var unknown = []byte(`{"type":"later"}`)

func cat(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// Each case is sent on a conn that is ready; want 0 means that it stays open.
func TestRFC6455(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 5000)
	fits := []byte(`{"type":"later","x":"` + strings.Repeat("x", tab.MaxClientFrameBytes-23) + `"}`)
	for _, c := range []struct {
		name string
		sent []byte
		want tab.CloseCode
	}{
		{"unmasked", append([]byte{fin | textOp, byte(len(unknown))}, unknown...), tab.CloseProtocolError},
		{"RSV1", frame(fin|0x40|textOp, unknown), tab.CloseProtocolError},
		{"RSV2", frame(fin|0x20|textOp, unknown), tab.CloseProtocolError},
		{"RSV3", frame(fin|0x10|textOp, unknown), tab.CloseProtocolError},
		{"RSV1 on a ping", frame(fin|0x40|pingOp, nil), tab.CloseProtocolError},
		{"unknown data opcode", frame(fin|0x03, nil), tab.CloseProtocolError},
		{"unknown control opcode", frame(fin|0x0b, nil), tab.CloseProtocolError},
		{"ping of 126 bytes", frame(fin|pingOp, make([]byte, 126)), tab.CloseProtocolError},
		{"fragmented ping", frame(pingOp, nil), tab.CloseProtocolError},
		{"fragmented close", frame(0x08, nil), tab.CloseProtocolError},
		{"continuation without a start", frame(fin|cont, unknown), tab.CloseProtocolError},
		{"new data frame within a message", cat(frame(textOp, unknown), frame(fin|textOp, unknown)), tab.CloseProtocolError},
		{"continuation after the end", cat(frame(textOp, unknown[:4]), frame(fin|cont, unknown[4:]), frame(fin|cont, nil)), tab.CloseProtocolError},
		{"binary", frame(fin|binaryOp, unknown), tab.CloseInvalidData},
		{"bad UTF-8", frame(fin|textOp, []byte("{\"type\":\"\xff\"}")), tab.CloseInvalidData},
		{"half a character at the end", cat(frame(textOp, []byte("\xc3")), frame(fin|cont, nil)), tab.CloseInvalidData},
		{"too large", frame(fin|textOp, big), tab.CloseTooLarge},
		{"one byte too large", frame(fin|textOp, append(bytes.Clone(fits), ' ')), tab.CloseTooLarge},
		{"too large in fragments", cat(frame(textOp, big[:3000]), frame(cont, big[:1000]), frame(fin|cont, big[:1000])), tab.CloseTooLarge},
		{"too large by its header alone", rawFrame(fin|textOp, 1<<40, 8, nil), tab.CloseTooLarge},
		{"64-bit length with the highest bit", rawFrame(fin|textOp, 1<<63, 8, nil), tab.CloseProtocolError},
		{"64-bit length where 7 bits do", rawFrame(fin|textOp, uint64(len(unknown)), 8, unknown), tab.CloseProtocolError},
		{"16-bit length where 7 bits do", rawFrame(fin|textOp, uint64(len(unknown)), 2, unknown), tab.CloseProtocolError},
		{"close with one byte", frame(0x88, []byte{3}), tab.CloseProtocolError},
		{"close with 0", closeFrame(0, ""), tab.CloseProtocolError},
		{"close with 999", closeFrame(999, ""), tab.CloseProtocolError},
		{"close with 1004", closeFrame(1004, ""), tab.CloseProtocolError},
		{"close with 1005", closeFrame(1005, ""), tab.CloseProtocolError},
		{"close with 1006", closeFrame(1006, ""), tab.CloseProtocolError},
		{"close with 1015", closeFrame(1015, ""), tab.CloseProtocolError},
		{"close with 1016", closeFrame(1016, ""), tab.CloseProtocolError},
		{"close with 2999", closeFrame(2999, ""), tab.CloseProtocolError},
		{"close with 5000", closeFrame(5000, ""), tab.CloseProtocolError},
		{"close with a reason that isn't UTF-8", closeFrame(1000, "\xff"), tab.CloseInvalidData},
		{"close without a code", frame(0x88, nil), tab.CloseNormal},
		{"close with 1000", closeFrame(1000, "bye"), tab.CloseNormal},
		{"close with 1012", closeFrame(1012, ""), tab.CloseNormal},
		{"close with 3000", closeFrame(3000, ""), tab.CloseNormal},
		{"close with 4999", closeFrame(4999, ""), tab.CloseNormal},
		{"more after close", cat(closeFrame(1000, ""), frame(fin|textOp, unknown)), tab.CloseNormal},

		{"the largest message", frame(fin|textOp, fits), 0},
		{"the largest message in fragments, with a ping inside", cat(frame(textOp, fits[:4000]), frame(cont, nil), frame(cont, fits[4000:]),
			frame(fin|pingOp, make([]byte, 125)), frame(fin|cont, nil)), 0},
		{"a character in two fragments", cat(frame(textOp, []byte("{\"type\":\"\xc3")), frame(fin|cont, []byte("\xa4\"}"))), 0},
		{"pong that nobody asked for", frame(fin|pongOp, []byte("x")), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				s := who("ann", "s1")
				conn := g.open(s)
				go func() { _, _ = conn.NetConn().Write(c.sent) }()
				if c.want != 0 {
					wantClose(t, conn, c.want)
					pass(closeTimeout)
					if g.svc.Open() != 0 {
						t.Error("the conn is still there")
					}
					return
				}
				synctest.Wait()
				g.publish(sessionRevoked(s, ""))
				if f := next(t, conn); f.Type != tab.TypeLogout {
					t.Errorf("got %+v, want the notice", f)
				}
			})
		})
	}
}

func TestPong(t *testing.T) {
	for _, payload := range []string{"", "x", strings.Repeat("p", 125)} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, nil)
			nc := g.open(who("ann", "s1")).NetConn()
			if _, err := nc.Write(frame(fin|pingOp, []byte(payload))); err != nil {
				t.Fatal(err)
			}
			f, err := readFrame(nc)
			if err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != payload || f.Header.Masked {
				t.Errorf("got %+v, %v; want a pong of %q", f, err, payload)
			}
		})
	}
}

// A hello that comes with the upgrade request is behind it in the HTTP server's buffer, whole or in part.
func TestEarlyFrame(t *testing.T) {
	for _, cut := range []int{1, 2, 7, 100, -1} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, nil)
			sent := frame(fin|textOp, []byte(`{"type":"hello","ticket":"`+g.ticket(who("ann", "s1"))+`"}`))
			if cut < 0 {
				cut = len(sent)
			}
			nc := g.rawPipe(sent[:cut])
			if cut < len(sent) {
				if _, err := nc.Write(sent[cut:]); err != nil {
					t.Fatal(err)
				}
			}
			f, err := readFrame(nc)
			if err != nil || !bytes.Contains(f.Payload, []byte(`"ready"`)) {
				t.Errorf("cut at %d: got %q, %v; want ready", cut, f.Payload, err)
			}
		})
	}
}

// FuzzReader: whatever comes, reading ends, panics never, and returns no more than the protocol allows.
func FuzzReader(f *testing.F) {
	f.Add([]byte{})
	f.Add(frame(fin|textOp, unknown))
	f.Add(cat(frame(textOp, unknown[:3]), frame(fin|pingOp, []byte("x")), frame(fin|cont, unknown[3:]), closeFrame(1000, "bye")))
	f.Add(rawFrame(fin|textOp, 1<<62, 8, nil))
	f.Add(rawFrame(fin|textOp, 4096, 2, nil))
	f.Add(bytes.Repeat(frame(cont, nil), 100))
	f.Add(frame(0x88, []byte{3}))
	f.Fuzz(func(t *testing.T, b []byte) {
		from := &limited{r: bytes.NewReader(b)}
		on := &counts{t: t}
		r := &reader{from: from, on: on}
		for {
			// As a conn that listens; and what await has to say message says again.
			if r.await() != nil {
				from.asked = 0
			}
			msg, err := r.message()
			if from.asked > tab.MaxClientFrameBytes {
				t.Fatalf("room for %d bytes at once", from.asked)
			}
			if err == nil {
				if len(msg) > tab.MaxClientFrameBytes {
					t.Fatalf("message of %d bytes", len(msg))
				}
				continue
			}
			var p *protocolError
			if !errors.As(err, &p) && !errors.Is(err, errPeerClosed) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("unexpected error %v", err)
			}
			break
		}
		if on.frames > len(b)/6+1 || on.pings > on.frames {
			t.Errorf("%d frames and %d pings in %d bytes", on.frames, on.pings, len(b))
		}
	})
}

// counts counts what a reader tells of.
type counts struct {
	t             *testing.T
	frames, pings int
}

func (c *counts) touch() { c.frames++ }

func (c *counts) answer(payload []byte) {
	if c.pings++; len(payload) > 125 {
		c.t.Errorf("ping of %d bytes", len(payload))
	}
}

// limited remembers the largest read that was asked for, which is what was allocated for it.
type limited struct {
	r     io.Reader
	asked int
}

func (l *limited) Read(p []byte) (int, error) {
	l.asked = max(l.asked, len(p))
	return l.r.Read(p)
}

// A peer that floods is told to slow down; empty fragments, which fill nothing, count too.
func TestFlood(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
	}{{"pings", frame(fin|pingOp, []byte("flood"))}, {"pongs", frame(fin|pongOp, nil)}, {"empty fragments", frame(cont, nil)}, {"messages", frame(fin|textOp, unknown)}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				conn := g.open(who("ann", "s1"))
				pass(time.Second)
				go func() {
					if c.frame[0] == cont {
						_, _ = conn.NetConn().Write(frame(textOp, nil))
					}
					for range 20 * tab.MaxFramesPerSecond {
						if _, err := conn.NetConn().Write(c.frame); err != nil {
							return
						}
					}
				}()
				wantClose(t, conn, tab.CloseSlowDown)
				pass(closeTimeout)
				if g.svc.Open() != 0 {
					t.Error("the conn is still there")
				}
			})
		})
	}
}
