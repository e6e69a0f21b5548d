package bitstream

import "encoding/binary"

// Writer appends numbers to a slice of bytes. The zero value is ready to use.
type Writer struct {
	out []byte
	// held are the lowest n bits, n < 64, that don't fill a word yet.
	held uint64
	n    uint
}

// Reset begins anew, in the memory of b, whose contents are kept in front.
func (w *Writer) Reset(b []byte) { *w = Writer{out: b} }

// Put appends the lowest width bits of x, 0 to 64 of them. The others must be 0.
func (w *Writer) Put(x uint64, width uint) {
	w.held |= x << w.n
	if w.n += width; w.n < 64 {
		return
	}
	w.out = binary.LittleEndian.AppendUint64(w.out, w.held)
	w.n -= 64
	// What didn't fit; a shift by 64 gives 0.
	w.held = x >> (width - w.n)
}

// Unary appends n ones and a zero.
func (w *Writer) Unary(n int) {
	for ; n >= 32; n -= 32 {
		w.Put(1<<32-1, 32)
	}
	w.Put(1<<n-1, uint(n)+1)
}

// Bytes returns all that was written, filled up with zeros to a whole word.
func (w *Writer) Bytes() []byte {
	if w.n > 0 {
		w.out = binary.LittleEndian.AppendUint64(w.out, w.held)
		w.held, w.n = 0, 0
	}
	return w.out
}

// Reader reads what a Writer has written. Reading past the end gives zeros, and Overrun tells.
type Reader struct {
	in  []byte
	at  int
	buf uint64
	// n is how many bits of buf are left.
	n       uint
	overrun bool
}

// NewReader returns a reader of b, which is read and not changed.
func NewReader(b []byte) *Reader { return &Reader{in: b} }

func (r *Reader) fill() {
	if r.at+8 > len(r.in) {
		r.overrun, r.buf = true, 0
	} else {
		r.buf = binary.LittleEndian.Uint64(r.in[r.at:])
		r.at += 8
	}
	r.n = 64
}

// Get reads a number of width bits, 0 to 64.
func (r *Reader) Get(width uint) uint64 {
	if width == 0 {
		return 0
	}
	if r.n == 0 {
		r.fill()
	}
	x, got := r.buf, min(r.n, width)
	if got < 64 {
		r.buf >>= got
	} else {
		r.buf = 0
	}
	r.n -= got
	if got < width {
		r.fill()
		rest := width - got
		x = x&(1<<got-1) | r.buf<<got
		r.buf >>= rest
		r.n -= rest
	}
	if width < 64 {
		x &= 1<<width - 1
	}
	return x
}

// Unary reads how many ones stand before the next zero, at most limit.
func (r *Reader) Unary(limit int) int {
	n := 0
	for n < limit && r.Get(1) == 1 {
		n++
	}
	if n == limit {
		// The zero that must follow, or not: whoever counts will see.
		r.Get(1)
	}
	return n
}

// Overrun reports whether more was read than there was.
func (r *Reader) Overrun() bool { return r.overrun }
