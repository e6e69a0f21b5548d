package fingerprint

import "math/bits"

// state is SipHash's, between two words.
type state struct{ v0, v1, v2, v3 uint64 }

// start returns the state before the first word, for 128 bits of output.
func start(k0, k1 uint64) state {
	return state{
		k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee,
		k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573,
	}
}

// absorb takes a word in, with one round. It is written out, and so is squeeze, because the compiler inlines no function of a round's size, and calls
// would cost a third of the time.
func (s state) absorb(word uint64) state {
	v0, v1, v2, v3 := s.v0, s.v1, s.v2, s.v3^word
	v0 += v1
	v2 += v3
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v2 += v1
	v0 = bits.RotateLeft64(v0, 32) + v3
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	return state{v0 ^ word, v1, bits.RotateLeft64(v2, 32), v3}
}

// text absorbs the bytes of a text, eight at a time, and at last those that are left over, with the message's length, and returns the state before
// the first half of the output.
func (s state) text(text string, length int) state {
	v0, v1, v2, v3 := s.v0, s.v1, s.v2, s.v3
	rest := text
	for len(rest) >= 8 {
		m := word(rest)
		v3 ^= m
		v0 += v1
		v2 += v3
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v2 += v1
		v0 = bits.RotateLeft64(v0, 32) + v3
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 = bits.RotateLeft64(v2, 32)
		v0 ^= m
		rest = rest[8:]
	}
	m := uint64(length) << 56
	if len(rest) > 0 {
		m |= tail(text, len(rest))
	}
	v3 ^= m
	v0 += v1
	v2 += v3
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v2 += v1
	v0 = bits.RotateLeft64(v0, 32) + v3
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	v2 = bits.RotateLeft64(v2, 32)
	v0 ^= m
	v2 ^= 0xee
	for range 3 {
		v0 += v1
		v2 += v3
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v2 += v1
		v0 = bits.RotateLeft64(v0, 32) + v3
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 = bits.RotateLeft64(v2, 32)
	}
	return state{v0, v1, v2, v3}
}

// second returns the second half of the output.
func (s state) second() uint64 {
	v0, v1, v2, v3 := s.v0, s.v1^0xdd, s.v2, s.v3
	for range 3 {
		v0 += v1
		v2 += v3
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v2 += v1
		v0 = bits.RotateLeft64(v0, 32) + v3
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 = bits.RotateLeft64(v2, 32)
	}
	return v0 ^ v1 ^ v2 ^ v3
}

func (s state) output() uint64 { return s.v0 ^ s.v1 ^ s.v2 ^ s.v3 }

// word reads the first eight bytes, little-endian. The compiler makes one load of it.
func word(b string) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// tail reads the last n bytes of text, 1 to 7, little-endian.
func tail(text string, n int) uint64 {
	if len(text) >= 8 {
		// One load that ends where the text does.
		return word(text[len(text)-8:]) >> (64 - 8*uint(n))
	}
	var w uint64
	for _, b := range []byte(text) {
		w = w>>8 | uint64(b)<<56
	}
	return w >> (64 - 8*uint(n))
}
