package fingerprint

// Kind is what an id names. The numbers are part of the fingerprint and so of snapshots: they never change.
type Kind uint8

// The kinds.
const (
	Session Kind = iota + 1
	User
	Device
	Client
	Tenant

	kinds = Tenant + 1
)

// KeySize is the length of a key in bytes.
const KeySize = 16

// Hasher computes fingerprints under one key. It is immutable after New and safe for concurrent use.
type Hasher struct {
	key   [KeySize]byte
	begun state
	// usual: kind → the state after the kind and the usual tenant, which is most callers' only one.
	usual  [kinds]state
	tenant string
}

// New returns a hasher. Ids of the tenant usual are hashed faster than others; that changes no fingerprint.
func New(key [KeySize]byte, usual string) *Hasher {
	k0, k1 := word(string(key[:]), 0), word(string(key[:]), 8)
	h := &Hasher{key: key, begun: start(k0, k1), tenant: usual}
	for kind := range kinds {
		h.usual[kind] = h.begun.within(kind, usual)
	}
	return h
}

// Key returns the key.
func (h *Hasher) Key() [KeySize]byte { return h.key }

// within absorbs the kind and the tenant.
func (s state) within(kind Kind, tenant string) state {
	head := uint64(kind) | uint64(len(tenant))<<8
	n := min(6, len(tenant))
	for i := range n {
		head |= uint64(tenant[i]) << (16 + 8*i)
	}
	s = s.absorb(head)
	for i := n; i < len(tenant); i += 8 {
		if len(tenant)-i >= 8 {
			s = s.absorb(word(tenant, i))
		} else {
			s = s.absorb(tail(tenant, i))
		}
	}
	return s
}

// prefix is how many bytes within absorbs.
func prefix(tenant string) int { return (2 + len(tenant) + 7) &^ 7 }

// Digest is a fingerprint whose second half may still have to be computed.
type Digest struct {
	// First is the first half, with a tag that is never 0 (see [Tag]).
	First uint64
	after state
}

// Sum returns the fingerprint of an id. A tenant is at most 255 bytes long. It doesn't allocate.
func (h *Hasher) Sum(kind Kind, tenant, id string) Digest {
	s := h.usual[kind]
	if tenant != h.tenant {
		s = h.begun.within(kind, tenant)
	}
	s = s.text(id, prefix(tenant)+len(id))
	s.v2 ^= 0xee
	s = s.squeeze()
	return Digest{First: tagged(s.output()), after: s}
}

// Second returns the second half.
func (d Digest) Second() uint64 {
	s := d.after
	s.v1 ^= 0xdd
	return s.squeeze().output()
}

// FP is a whole fingerprint.
type FP struct{ First, Second uint64 }

// FP computes what is missing.
func (d Digest) FP() FP { return FP{d.First, d.Second()} }

// Compare orders fingerprints.
func (f FP) Compare(g FP) int {
	switch {
	case f.First < g.First, f.First == g.First && f.Second < g.Second:
		return -1
	case f == g:
		return 0
	}
	return 1
}

// A table finds an entry by parts of First, from the top: its shard, a tag, its home in the shard, and the rest, which it compares.
const (
	ShardBits = 10
	TagBits   = 8
	HomeBits  = 32
	RestBits  = 64 - ShardBits - TagBits - HomeBits
)

// Shard returns the number of the shard.
func Shard(first uint64) int { return int(first >> (64 - ShardBits)) }

// Tag returns the tag, 1 to 255. 0 is for places that hold nothing, so Sum never gives it: what would have the tag 0 has 1. That costs
// the fingerprint less than a hundredth of a bit.
func Tag(first uint64) uint64 { return first >> (HomeBits + RestBits) & (1<<TagBits - 1) }

// Home returns the number that says where in its shard an entry would lie best.
func Home(first uint64) uint64 { return first >> RestBits & (1<<HomeBits - 1) }

// Rest returns what is left.
func Rest(first uint64) uint64 { return first & (1<<RestBits - 1) }

// Join puts a first half together again from its parts.
func Join(shard int, tag, home, rest uint64) uint64 {
	return uint64(shard)<<(64-ShardBits) | tag<<(HomeBits+RestBits) | home<<RestBits | rest
}

func tagged(first uint64) uint64 {
	if Tag(first) == 0 {
		first |= 1 << (HomeBits + RestBits)
	}
	return first
}
