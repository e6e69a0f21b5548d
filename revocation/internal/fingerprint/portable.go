package fingerprint

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"sync"
)

// portable does what chain and finish do, on the standard library's AES: for processors without instructions for it, or for which we have none.
type portable struct {
	keys  *schedule
	block cipher.Block
	// buffers: what is given to an interface is the heap's, and a check must not allocate.
	buffers sync.Pool
}

func newPortable(key [KeySize]byte, keys *schedule) *portable {
	c, _ := aes.NewCipher(key[:]) // fails for keys of other sizes only
	return &portable{keys: keys, block: c, buffers: sync.Pool{New: func() any { return new([KeySize]byte) }}}
}

// encrypt encrypts a block. The state has the first round's key in it already, as the assembled forms leave it.
func (p *portable) encrypt(b block) block {
	first := p.keys[0]
	buf := p.buffers.Get().(*[KeySize]byte)
	binary.LittleEndian.PutUint64(buf[:8], b[0]^first[0])
	binary.LittleEndian.PutUint64(buf[8:], b[1]^first[1])
	p.block.Encrypt(buf[:], buf[:])
	b = toBlock(*buf)
	p.buffers.Put(buf)
	return b
}

func (p *portable) chain(s *state, b *block) {
	e, first := p.encrypt(block{s[0] ^ b[0], s[1] ^ b[1]}), p.keys[0]
	*s = state{e[0] ^ first[0], e[1] ^ first[1]}
}

func (p *portable) finish(s *state, text string) FP {
	st := *s
	for len(text) > KeySize {
		b := blockOf(text)
		p.chain(&st, &b)
		text = text[KeySize:]
	}
	b, tweak := blockOf(text), p.keys[rowWhole]
	if n := len(text); n < KeySize {
		b[n/8] |= 0x80 << (n % 8 * 8)
		tweak = p.keys[rowPadded]
	}
	e := p.encrypt(block{st[0] ^ b[0] ^ tweak[0], st[1] ^ b[1] ^ tweak[1]})
	if Tag(e[0]) == 0 {
		e[0]++
	}
	return FP{e[0], e[1]}
}

// blockOf returns the first bytes of a text, and zeros where there are none.
func blockOf(text string) block {
	var b [KeySize]byte
	copy(b[:], text)
	return toBlock(b)
}
