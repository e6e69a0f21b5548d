package table

import (
	"math/bits"
	"slices"
	"sync/atomic"

	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

const (
	// nearGroups fill a cache line with the number of groups.
	nearGroups = 7
	// perGroup is how many slots share a tag word.
	perGroup = 7
	// MetaBits is how many bits of a slot are the caller's.
	MetaBits = 64 - fp.RestBits
	metaMask = 1<<MetaBits - 1

	ones      = 0x0001010101010101 // the lowest bit of each tag
	low7      = 0x007f7f7f7f7f7f7f
	high      = 0x0080808080808080
	tagsMask  = 1<<56 - 1
	overflow1 = 1 << 56
	// sticky is an overflow count that has reached its end: it is right for a search, which goes on, and never taken back.
	sticky = 0xff
)

// block is what a shard holds. Readers use it without a lock; it is written by whoever holds the shard's lock.
type block struct {
	groups uint64
	// near holds the tag words of a block with so few groups, in the cache line that tells how many they are.
	near [nearGroups]uint64
	// mem holds the tag words from 0 unless near does, the slots from slots and the halves from halves.
	mem []uint64
	// arena holds records. What is written is never changed; the writer knows up to where.
	arena         []uint64
	slots, halves uint32
	stride        uint8
}

// words is how many words of mem so many groups take.
func words(groups, stride int) int {
	slots := groups * perGroup
	return tagWords(groups) + slots*stride + (slots+1)/2
}

func tagWords(groups int) int {
	if groups <= nearGroups {
		return 0
	}
	return groups
}

// newBlock returns an empty block with at least that many groups: as many as fit into the memory that the allocator gives anyway.
func newBlock(groups, stride, arena int) *block {
	mem := slices.Grow([]uint64(nil), words(groups, stride))
	mem = mem[:cap(mem)]
	for words(groups+1, stride) <= len(mem) {
		groups++
	}
	tags := tagWords(groups)
	b := &block{groups: uint64(groups), mem: mem, stride: uint8(stride), slots: uint32(tags), halves: uint32(tags + groups*perGroup*stride)}
	if arena > 0 {
		b.arena = make([]uint64, arena)
	}
	return b
}

// unused reports whether b is what a shard has before its first entry.
func (b *block) unused() bool { return b.mem == nil }

func (b *block) home(home uint64) uint64 { return home * b.groups >> fp.HomeBits }

// tags returns the tag word of a group.
func (b *block) tags(group uint64) *uint64 {
	if b.groups <= nearGroups {
		return &b.near[group]
	}
	return &b.mem[group]
}

func (b *block) next(group uint64) uint64 {
	if group++; group < b.groups {
		return group
	}
	return 0
}

// matches returns the high bits of the tags that equal tag. The usual trick, (x-ones)&^x&high, would also flag the tag above a true match
// that differs from it by one bit, and what it flags may be a slot that holds a deleted entry.
func matches(word, tag uint64) uint64 {
	x := word ^ tag*ones
	return ^((x&low7 + low7) | x) & high
}

func (b *block) word(slot, i int) *uint64 { return &b.mem[int(b.slots)+slot*int(b.stride)+i] }

func (b *block) half(slot int) uint64 {
	return atomic.LoadUint64(&b.mem[int(b.halves)+slot>>1]) >> (slot & 1 << 5) & (1<<fp.HomeBits - 1)
}

// likely reports whether there is an entry whose first half is that one's, from the group on whose tag word has been read already.
func (b *block) likely(first, group, word uint64) bool {
	tag, rest := fp.Tag(first), fp.Rest(first)
	for range b.groups {
		for m := matches(word, tag); m != 0; m &= m - 1 {
			slot := slotOf(group, m)
			if atomic.LoadUint64(b.word(slot, 1))>>MetaBits == rest && b.half(slot) == fp.Home(first) {
				return true
			}
		}
		if word>>56 == 0 {
			break
		}
		group = b.next(group)
		word = atomic.LoadUint64(b.tags(group))
	}
	return false
}

// find looks for a fingerprint and returns the slot and its meta, as it was while the slot was the fingerprint's.
func (b *block) find(f fp.FP) (slot int, meta uint64, ok bool) {
	first := f.First
	group := b.home(fp.Home(first))
	word := atomic.LoadUint64(b.tags(group))
	tag, rest := fp.Tag(first), fp.Rest(first)
	for range b.groups {
		for m := matches(word, tag); m != 0; m &= m - 1 {
			slot := slotOf(group, m)
			w1 := atomic.LoadUint64(b.word(slot, 1))
			if w1>>MetaBits == rest && b.half(slot) == fp.Home(first) && atomic.LoadUint64(b.word(slot, 0)) == f.Second {
				return slot, w1 & metaMask, true
			}
		}
		if word>>56 == 0 {
			break
		}
		group = b.next(group)
		word = atomic.LoadUint64(b.tags(group))
	}
	return 0, 0, false
}

// Entry is one entry as the writer handles it. Extra and Record are of tables that have them.
type Entry struct {
	FP     fp.FP
	Meta   uint64
	Extra  uint64
	Record []uint64
}

// insert puts an entry that isn't there into a block that has room, for readers to find.
func (b *block) insert(e *Entry, extra uint64) {
	first := e.FP.First
	home := b.home(fp.Home(first))
	group := home
	free := matches(*b.tags(group), 0)
	for free == 0 {
		group = b.next(group)
		free = matches(*b.tags(group), 0)
	}
	slot := int(group)*perGroup + bits.TrailingZeros64(free)>>3
	if b.stride > 2 {
		atomic.StoreUint64(b.word(slot, 2), extra)
	}
	atomic.StoreUint64(b.word(slot, 0), e.FP.Second)
	half := &b.mem[int(b.halves)+slot>>1]
	atomic.StoreUint64(half, withHalf(*half, slot, fp.Home(first)))
	atomic.StoreUint64(b.word(slot, 1), fp.Rest(first)<<MetaBits|e.Meta)
	for g := home; g != group; g = b.next(g) {
		if w := *b.tags(g); w>>56 != sticky {
			atomic.StoreUint64(b.tags(g), w+overflow1)
		}
	}
	atomic.StoreUint64(b.tags(group), *b.tags(group)|fp.Tag(first)<<(8*(uint(slot)-uint(group)*perGroup)))
}

// fill is insert into a block that no reader knows yet.
func (b *block) fill(tag, home, w0, w1, extra uint64) {
	group := b.home(home)
	free := matches(*b.tags(group), 0)
	for free == 0 {
		if *b.tags(group)>>56 != sticky {
			*b.tags(group) += overflow1
		}
		group = b.next(group)
		free = matches(*b.tags(group), 0)
	}
	in := bits.TrailingZeros64(free) >> 3
	slot := int(group)*perGroup + in
	at := int(b.slots) + slot*int(b.stride)
	b.mem[at], b.mem[at+1] = w0, w1
	if b.stride > 2 {
		b.mem[at+2] = extra
	}
	half := int(b.halves) + slot>>1
	b.mem[half] = withHalf(b.mem[half], slot, home)
	*b.tags(group) |= tag << (8 * in)
}

func withHalf(word uint64, slot int, home uint64) uint64 {
	shift := slot & 1 << 5
	return word&^((1<<fp.HomeBits-1)<<shift) | home<<shift
}

// remove takes the entry of a slot out.
func (b *block) remove(slot int) {
	group := uint64(slot / perGroup)
	home := b.home(b.half(slot))
	atomic.StoreUint64(b.tags(group), *b.tags(group)&^(0xff<<(8*(uint(slot)%perGroup))))
	for g := home; g != group; g = b.next(g) {
		if w := *b.tags(g); w>>56 != sticky {
			atomic.StoreUint64(b.tags(g), w-overflow1)
		}
	}
}

// each calls fn for each slot that holds an entry, with its tag. The caller holds the shard's lock, or nobody else knows the block.
func (b *block) each(fn func(slot int, tag uint64)) {
	for group := range b.groups {
		word := *b.tags(group)
		for m := ^matches(word, 0) & high; m != 0; m &= m - 1 {
			in := bits.TrailingZeros64(m) >> 3
			fn(int(group)*perGroup+in, word>>(8*in)&0xff)
		}
	}
}
