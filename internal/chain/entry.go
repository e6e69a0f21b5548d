package chain

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"
)

// Entry is one event of the ledger, as it lies there.
type Entry struct {
	Position uint64
	// Stored is when the stream stored it.
	Stored time.Time
	Topic  string
	// Header has the values of each header in their order; the order of the headers doesn't count.
	Header map[string][]string
	Data   []byte
}

// Hash is a leaf, or the running hash.
type Hash [sha256.Size]byte

// String returns it in hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// digestBytes of a leaf are in a checkpoint: enough that nobody finds another event with the same.
const digestBytes = 16

// Digest is the beginning of a leaf.
type Digest [digestBytes]byte

// String returns it in hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText and UnmarshalText are its form in JSON.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText takes what MarshalText makes.
func (d *Digest) UnmarshalText(text []byte) error { return hexInto(d[:], text) }

// Digest returns the beginning of a leaf.
func (h Hash) Digest() Digest { return Digest(h[:digestBytes]) }

// Hasher hashes entries. It keeps its buffers, and isn't safe for concurrent use. The zero Hasher is ready.
type Hasher struct {
	buf   []byte
	names []string
}

// The first byte of what is hashed says what it is, so that no leaf is a step of the chain.
const leafMark, stepMark = 0, 1

// Leaf returns the leaf of an entry.
func (h *Hasher) Leaf(e Entry) Hash {
	b := append(h.buf[:0], leafMark)
	b = binary.BigEndian.AppendUint64(b, e.Position)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Stored.UnixNano()))
	b = appendText(b, e.Topic)
	h.names = h.names[:0]
	for name := range e.Header {
		h.names = append(h.names, name)
	}
	slices.Sort(h.names)
	b = binary.BigEndian.AppendUint64(b, uint64(len(h.names)))
	for _, name := range h.names {
		b = appendText(b, name)
		b = binary.BigEndian.AppendUint64(b, uint64(len(e.Header[name])))
		for _, value := range e.Header[name] {
			b = appendText(b, value)
		}
	}
	payload := sha256.Sum256(e.Data)
	b = append(b, payload[:]...)
	h.buf = b
	return sha256.Sum256(b)
}

// step adds a leaf to the running hash.
func step(before, leaf Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = stepMark
	copy(b[1:], before[:])
	copy(b[1+sha256.Size:], leaf[:])
	return sha256.Sum256(b[:])
}

// genesis is the hash that a chain begins with.
func genesis(chain string, made time.Time, first uint64) Hash {
	b := appendText(appendText(nil, "curfew-audit/1"), chain)
	b = binary.BigEndian.AppendUint64(b, uint64(made.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, first)
	return sha256.Sum256(b)
}

func appendText(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}
