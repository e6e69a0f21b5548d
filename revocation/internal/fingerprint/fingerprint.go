package fingerprint

import "encoding/binary"

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
	usual  [8]state
	tenant string
	// itself is the fingerprint of the usual tenant.
	itself FP
}

// New returns a hasher. Ids of the tenant usual are hashed faster than others; that changes no fingerprint.
func New(key [KeySize]byte, usual string) *Hasher {
	k0, k1 := binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])
	h := &Hasher{key: key, begun: start(k0, k1), tenant: usual}
	for kind := range kinds {
		h.usual[kind] = h.begun.within(kind, usual)
	}
	in := h.Within(usual)
	h.itself = in.Sum(Tenant, usual)
	return h
}

// Key returns the key.
func (h *Hasher) Key() [KeySize]byte { return h.key }

// within absorbs the kind and the tenant.
func (s state) within(kind Kind, tenant string) state {
	head := uint64(kind) | uint64(len(tenant))<<8&0xffffff00
	n := min(4, len(tenant))
	for i := range n {
		head |= uint64(tenant[i]) << (32 + 8*i)
	}
	s = s.absorb(head)
	for rest := tenant[n:]; len(rest) > 0; {
		if len(rest) < 8 {
			return s.absorb(tail(rest, len(rest)))
		}
		s = s.absorb(word(rest))
		rest = rest[8:]
	}
	return s
}

// prefix is how many bytes within absorbs.
func prefix(tenant string) int { return (4 + len(tenant) + 7) &^ 7 }

// Within hashes ids of one tenant.
type Within struct {
	hasher *Hasher
	tenant string
	usual  bool
}

// Within returns what hashes ids of a tenant, which is shorter than 16 MiB.
func (h *Hasher) Within(tenant string) (w Within) {
	w.Set(h, tenant)
	return w
}

// Set makes w what Within returns.
func (w *Within) Set(h *Hasher, tenant string) {
	w.hasher, w.tenant, w.usual = h, tenant, tenant == h.tenant
}

// Tenant returns the tenant.
func (w *Within) Tenant() string { return w.tenant }

func (w *Within) sum(kind Kind, id string) state {
	s := w.hasher.usual[kind&7]
	if !w.usual {
		s = w.hasher.begun.within(kind, w.tenant)
	}
	return s.text(id, prefix(w.tenant)+len(id))
}

// First returns the first half of an id's fingerprint, with a tag that is never 0 (see [Tag]). It doesn't allocate.
func (w *Within) First(kind Kind, id string) uint64 {
	return tagged(w.sum(kind, id).output())
}

// FirstOfTenant is First for the tenant itself, which costs nothing for the usual one.
func (w *Within) FirstOfTenant() uint64 {
	if w.usual {
		return w.hasher.itself.First
	}
	return w.First(Tenant, w.tenant)
}

// Second returns the second half. It takes somewhat longer than the first, and computes that anew.
func (w *Within) Second(kind Kind, id string) uint64 { return w.sum(kind, id).second() }

// Sum returns both halves.
func (w *Within) Sum(kind Kind, id string) FP {
	s := w.sum(kind, id)
	return FP{tagged(s.output()), s.second()}
}

// FP is a whole fingerprint.
type FP struct{ First, Second uint64 }

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
