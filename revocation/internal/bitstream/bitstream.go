package bitstream

import (
	"encoding/binary"
	"math/bits"
)

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
	in []byte
	// at is how many bits were read.
	at uint64
}

// NewReader returns a reader of b, which is read and not changed.
func NewReader(b []byte) *Reader { return &Reader{in: b} }

// Get reads a number of width bits, 0 to 64.
func (r *Reader) Get(width uint) uint64 {
	i, skip := r.at>>3, uint(r.at&7)
	in := r.in
	if i+9 > uint64(len(in)) {
		in, i = r.end(), 0
	}
	r.at += uint64(width)
	x := binary.LittleEndian.Uint64(in[i:]) >> skip
	if skip+width > 64 {
		x |= uint64(in[i+8]) << (64 - skip)
	}
	return x & (1<<width - 1) // a shift by 64 gives 0
}

// end returns what is left, with zeros behind it.
func (r *Reader) end() []byte {
	var b [9]byte
	copy(b[:], r.in[min(r.at>>3, uint64(len(r.in))):])
	return b[:]
}

// Unary reads how many ones stand before the next zero, at most limit, and the zero; whoever counts will see if there is none.
func (r *Reader) Unary(limit int) int {
	const most = 57 // bits that Get can look ahead, wherever it stands in a byte
	n := 0
	for n < limit {
		at := r.at
		ones := min(bits.TrailingZeros64(^r.Get(most)), limit-n)
		r.at = at + uint64(ones)
		if n += ones; ones < most {
			break
		}
	}
	r.at++
	return n
}

// Overrun reports whether more was read than there was.
func (r *Reader) Overrun() bool { return r.at > 8*uint64(len(r.in)) }
