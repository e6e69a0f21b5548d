package fanout

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/gobwas/ws"
)

// FuzzWhole: what is called whole never has next wait for more.
func FuzzWhole(f *testing.F) {
	f.Add(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("{}")))))
	f.Add(ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(ws.OpText, false, []byte("{")))))
	f.Add([]byte{0x89, 0x80, 1, 2, 3, 4, 0x8a, 0xfe, 0, 126})
	f.Add([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, said []byte) {
		in := bytes.NewReader(said)
		w := &webSocket{reader{from: in, on: deaf{}}}
		if !w.whole(said) {
			return
		}
		for in.Len() > 0 {
			if _, err := w.message(); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%x isn't whole: %v", said, err)
			} else if err != nil {
				return
			}
		}
	})
}

// deaf is told of frames and does nothing.
type deaf struct{}

func (deaf) touch()        {}
func (deaf) answer([]byte) {}
