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
	mac mac
	// usual: kind → the state after the kind and the usual tenant, which is most callers' only one.
	usual  [8]state
	tenant string
	key    [KeySize]byte
	// itself is the fingerprint of the usual tenant.
	itself FP
}

// New returns a hasher. Ids of the tenant usual are hashed faster than others; that changes no fingerprint.
func New(key [KeySize]byte, usual string) *Hasher {
	h := &Hasher{key: key, mac: newMAC(key), tenant: usual}
	for kind := range kinds {
		h.usual[kind] = h.within(kind, usual)
	}
	h.itself = h.Usual(Tenant, usual)
	return h
}

// Key returns the key.
func (h *Hasher) Key() [KeySize]byte { return h.key }

// within absorbs the kind and the tenant.
func (h *Hasher) within(kind Kind, tenant string) state {
	s := h.mac.start()
	n := min(12, len(tenant))
	// One byte for the kind, and three for the length.
	head := blockOf(tenant[:n])
	h.mac.chain(&s, block{head[0]<<32 | uint64(kind) | uint64(len(tenant))<<8&0xffffff00, head[1]<<32 | head[0]>>32})
	for rest := tenant[n:]; len(rest) > 0; rest = rest[n:] {
		n = min(KeySize, len(rest))
		h.mac.chain(&s, blockOf(rest[:n]))
	}
	return s
}

// Usual returns the fingerprint of an id of the usual tenant. It doesn't allocate.
func (h *Hasher) Usual(kind Kind, id string) FP {
	return h.mac.finish(&h.usual[kind&7], id)
}

// Sum returns the fingerprint of an id of a tenant, which is shorter than 16 MiB. It doesn't allocate.
func (h *Hasher) Sum(kind Kind, tenant, id string) FP {
	if tenant == h.tenant {
		return h.Usual(kind, id)
	}
	s := h.within(kind, tenant)
	return h.mac.finish(&s, id)
}

// Tenant is Sum for a tenant itself, which costs nothing for the usual one.
func (h *Hasher) Tenant(tenant string) FP {
	if tenant == h.tenant {
		return h.itself
	}
	return h.Sum(Tenant, tenant, tenant)
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

// A table finds an entry by parts of First, from the top: its shard, its home in the shard, the rest, which it compares, and a tag.
const (
	ShardBits = 11
	TagBits   = 8
	HomeBits  = 32
	RestBits  = 64 - ShardBits - TagBits - HomeBits
)

// Shard returns the number of the shard.
func Shard(first uint64) int { return int(first >> (64 - ShardBits)) }

// Home returns the number that says where in its shard an entry would lie best.
func Home(first uint64) uint64 { return first >> (RestBits + TagBits) & (1<<HomeBits - 1) }

// Rest returns what is left.
func Rest(first uint64) uint64 { return first >> TagBits & (1<<RestBits - 1) }

// Tag returns the tag, 1 to 255. 0 is for places that hold nothing, so no fingerprint has it: what would have the tag 0 has 1. That
// costs less than a hundredth of a bit.
func Tag(first uint64) uint64 { return first & (1<<TagBits - 1) }

// Join puts a first half together again from its parts.
func Join(shard int, tag, home, rest uint64) uint64 {
	return uint64(shard)<<(64-ShardBits) | home<<(RestBits+TagBits) | rest<<TagBits | tag
}
