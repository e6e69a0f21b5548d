package bitstream

import (
	"testing"

	"pgregory.net/rapid"
)

func TestReadsWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type number struct {
			x     uint64
			width uint
			unary int
		}
		var w Writer
		w.Reset([]byte{7})
		numbers := rapid.SliceOf(rapid.Custom(func(t *rapid.T) number {
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				return number{unary: rapid.IntRange(0, 200).Draw(t, "unary"), width: 99}
			}
			width := rapid.UintRange(0, 64).Draw(t, "width")
			x := rapid.Uint64().Draw(t, "x")
			if width < 64 {
				x &= 1<<width - 1
			}
			return number{x: x, width: width}
		})).Draw(t, "numbers")
		for _, n := range numbers {
			if n.width == 99 {
				w.Unary(n.unary)
			} else {
				w.Put(n.x, n.width)
			}
		}
		b := w.Bytes()
		if b[0] != 7 {
			t.Fatal("what stood in front was changed")
		}
		r := NewReader(b[1:])
		for i, n := range numbers {
			if n.width == 99 {
				if got := r.Unary(1000); got != n.unary {
					t.Fatalf("%d: %d ones, want %d", i, got, n.unary)
				}
			} else if got := r.Get(n.width); got != n.x {
				t.Fatalf("%d: %x of %d bits, want %x", i, got, n.width, n.x)
			}
		}
		if r.Overrun() {
			t.Fatal("it has read too much")
		}
		for range 64 {
			r.Get(1)
		}
		if r.Get(1); !r.Overrun() {
			t.Fatal("it doesn't notice the end")
		}
	})
}
