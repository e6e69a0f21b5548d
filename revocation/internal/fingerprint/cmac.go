package fingerprint

import (
	"encoding/binary"
	"unsafe"
)

// block is a block of AES: its bytes as two little-endian words.
type block [2]uint64

// state is CMAC's, between two blocks. What stands in it is for chain and finish only.
type state block

// The rows of a schedule, of which the first eleven are AES's round keys.
const (
	rowLast = 10
	// rowChained is the last round's key and the first one's in one, for a block that is followed by another.
	rowChained = 11
	// rowWhole and rowPadded are K1 and K2 of RFC 4493.
	rowWhole  = 12
	rowPadded = 13
	rows      = 14
)

// schedule is what a key is stretched to.
type schedule [rows]block

// mac computes AES-CMAC (RFC 4493) under one key.
type mac struct {
	keys *schedule
	// slow is nil where the processor has instructions that we know.
	slow *portable
}

func newMAC(key [KeySize]byte) mac {
	m := mac{keys: newSchedule(key)}
	if !assembled() {
		m.slow = newPortable(key, m.keys)
	}
	return m
}

// start returns the state before the first block.
func (m *mac) start() state { return state(m.keys[0]) }

// chain absorbs a block that is followed by another.
func (m *mac) chain(s *state, b block) {
	if m.slow != nil {
		m.slow.chain(s, &b)
		return
	}
	chain(m.keys, s, &b)
}

// finish absorbs a text, which is the end of the message, and returns the fingerprint. An empty text counts as a block that isn't full.
func (m *mac) finish(s *state, text string) FP {
	if m.slow != nil {
		return m.slow.finish(s, text)
	}
	first, second := finish(m.keys, s, unsafe.StringData(text), len(text))
	return FP{first, second}
}

// newSchedule stretches a key.
func newSchedule(key [KeySize]byte) *schedule {
	s := new(schedule)
	copy(s[:], roundKeys(key))
	first, last := s[0], s[rowLast]
	s[rowChained] = block{first[0] ^ last[0], first[1] ^ last[1]}
	p, zeros := newPortable(key, s), [KeySize]byte{}
	p.block.Encrypt(zeros[:], zeros[:])
	k1 := double(zeros)
	s[rowWhole], s[rowPadded] = toBlock(k1), toBlock(double(k1))
	return s
}

func toBlock(b [KeySize]byte) block {
	return block{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}
}

// double multiplies by x in the field of 2¹²⁸ elements (RFC 4493, section 2.3).
func double(b [KeySize]byte) (d [KeySize]byte) {
	high, low := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	carry := high >> 63
	binary.BigEndian.PutUint64(d[:8], high<<1|low>>63)
	binary.BigEndian.PutUint64(d[8:], low<<1^carry*0x87)
	return d
}

// roundKeys returns AES-128's (FIPS 197, section 5.2).
func roundKeys(key [KeySize]byte) []block {
	box := substitutions()
	words := make([]uint32, 4*(rowLast+1))
	for i := range 4 {
		words[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	constant := uint32(1)
	for i := 4; i < len(words); i++ {
		w := words[i-1]
		if i%4 == 0 {
			w = w>>8 | w<<24
			w = uint32(box[w&0xff]) | uint32(box[w>>8&0xff])<<8 | uint32(box[w>>16&0xff])<<16 | uint32(box[w>>24])<<24
			w ^= constant
			constant = times2(constant)
		}
		words[i] = words[i-4] ^ w
	}
	keys := make([]block, rowLast+1)
	for i := range keys {
		w := words[4*i:]
		keys[i] = block{uint64(w[0]) | uint64(w[1])<<32, uint64(w[2]) | uint64(w[3])<<32}
	}
	return keys
}

// times2 multiplies by x in AES's field (FIPS 197, section 4.2).
func times2(b uint32) uint32 { return (b<<1 ^ b>>7*0x1b) & 0xff }

// substitutions returns AES's table of them (FIPS 197, section 5.1.1): the inverse of each byte, by the powers of 3, and then a sum of its rotations.
func substitutions() (box [256]byte) {
	var power [256]uint32
	x := uint32(1)
	for i := range power {
		power[i] = x
		x ^= times2(x)
	}
	box[0] = 0x63
	for i := range 255 {
		inverse := power[(255-i)%255]
		b := inverse * 0x0101
		box[power[i]] = byte(b^b>>4^b>>5^b>>6^b>>7) ^ 0x63
	}
	return box
}
