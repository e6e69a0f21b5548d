package table

import (
	"math/bits"
	"slices"
	"sync/atomic"

	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

const (
	// perGroup is how many slots share a tag word.
	perGroup = 7
	// lineGroups is how many tag words share a cache line. A block has a multiple of so many, or 1, 2 or 4.
	lineGroups = 8
	// MetaBits is how many bits of a slot are the caller's.
	MetaBits = 64 - fp.RestBits
	metaMask = 1<<MetaBits - 1

	ones = 0x0001010101010101 // the lowest bit of each tag
	low7 = 0x007f7f7f7f7f7f7f
	high = 0x0080808080808080
)

// passed is the bit of a tag word that says whether an entry with such a rest has had to pass the group over. It is never taken back within a
// block, for others may have set it too.
func passed(rest uint64) uint64 { return 1 << (8*perGroup + rest&7) }

// block is what a shard holds. Readers use it without a lock; it is written by whoever holds the shard's lock.
type block struct {
	groups uint64
	// mem holds the tag words, from slots on the slots and from halves on the halves.
	mem []uint64
	// arena holds records. What is written is never changed; the writer knows up to where.
	arena         []uint64
	slots, halves uint32
	stride        uint8
}

// words is how many words of mem so many groups take.
func words(groups, stride int) int {
	slots := groups * perGroup
	return groups + slots*stride + (slots+1)/2
}

// nextGroups is how many groups a block has that has more than so many.
func nextGroups(groups int) int {
	if groups < lineGroups {
		return max(1, 2*groups)
	}
	return groups + lineGroups
}

// newBlock returns an empty block with at least that many groups: as many as fit into the memory that the allocator gives anyway.
func newBlock(groups, stride, arena int) *block {
	mem := slices.Grow([]uint64(nil), words(groups, stride))
	mem = mem[:cap(mem)]
	for words(nextGroups(groups), stride) <= len(mem) {
		groups = nextGroups(groups)
	}
	b := &block{groups: uint64(groups), mem: mem, stride: uint8(stride), slots: uint32(groups), halves: uint32(groups + groups*perGroup*stride)}
	if arena > 0 {
		b.arena = make([]uint64, arena)
	}
	return b
}

// unusedBlock is what a shard has before its first entry: a tag word and no slots.
func unusedBlock(stride int) *block {
	return &block{groups: 1, mem: make([]uint64, 1), stride: uint8(stride)}
}

func (b *block) unused() bool { return b.slots == 0 }

// tags returns the tag word of a group.
func (b *block) tags(group uint64) *uint64 { return &b.mem[group] }

// home returns the group where an entry would lie best.
func home(home, groups uint64) uint64 { return home * groups >> fp.HomeBits }

// step is what tells an entry's home from the other group where it may lie as well. It is odd, of four sorts, so that full neighbours don't
// have all the same.
func step(first uint64) uint64 { return first>>(fp.TagBits+3) | 1 }

// other returns the group that lies a step from another in the same cache line. The mask is that of the groups of a line.
func other(group, step, mask uint64) uint64 { return group ^ step&mask }

func lineMask(groups uint64) uint64 { return (groups - 1) & (lineGroups - 1) }

// walk is the way from an entry's home to all groups: by pairs, for an entry lies in the emptier group of its pair if it can, and both are in one cache
// line. First come the pairs in the places of the first one, line by line, and then the others.
type walk struct {
	pair [2]uint64
	// left is how many lines there are with this one, until all have been visited, and round how often they have been.
	left, round uint64
}

func (b *block) walk(first uint64) walk {
	w := walk{left: b.lines()}
	w.pair[0] = home(fp.Home(first), b.groups)
	w.pair[1] = other(w.pair[0], step(first), lineMask(b.groups))
	return w
}

func (b *block) lines() uint64 { return (b.groups + lineGroups - 1) / lineGroups }

func (w *walk) next(b *block) {
	turn := uint64(0)
	if w.left--; w.left == 0 {
		// By 2, 6, 2 and so on the pairs of one line come to all its places.
		turn = 2 + w.round&1<<2
		w.left, w.round = b.lines(), w.round+1
	}
	for i, group := range w.pair {
		group = other(group, turn, lineMask(b.groups)) + lineGroups
		if group >= b.groups {
			group &= lineMask(b.groups)
		}
		w.pair[i] = group
	}
}

// emptier returns the group of the pair with more empty slots, and a mark in these places; none if both are full.
func (w *walk) emptier(b *block) (group, free uint64) {
	free = matches(*b.tags(w.pair[0]), 0)
	if there := matches(*b.tags(w.pair[1]), 0); bits.OnesCount64(there) > bits.OnesCount64(free) {
		return w.pair[1], there
	}
	return w.pair[0], free
}

// mark notes in both groups of the pair that an entry with such a rest lies further on.
func (w *walk) mark(b *block, rest uint64) {
	for _, group := range w.pair {
		atomic.StoreUint64(b.tags(group), *b.tags(group)|passed(rest))
	}
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

// find looks for a fingerprint and returns the slot and its meta, as it was while the slot was the fingerprint's.
func (b *block) find(f fp.FP) (slot int, meta uint64, ok bool) {
	if b.unused() {
		return 0, 0, false
	}
	tag, rest, half := fp.Tag(f.First), fp.Rest(f.First), fp.Home(f.First)
	w := b.walk(f.First)
	for range b.groups {
		further := passed(rest)
		for _, group := range w.pair {
			word := atomic.LoadUint64(b.tags(group))
			for m := matches(word, tag); m != 0; m &= m - 1 {
				slot := slotOf(group, m)
				w1 := atomic.LoadUint64(b.word(slot, 1))
				if w1>>MetaBits == rest && b.half(slot) == half && atomic.LoadUint64(b.word(slot, 0)) == f.Second {
					return slot, w1 & metaMask, true
				}
			}
			further &= word
		}
		if further == 0 {
			break
		}
		w.next(b)
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
	w := b.walk(first)
	group, free := w.emptier(b)
	for free == 0 {
		w.next(b)
		group, free = w.emptier(b)
	}
	slot := slotOf(group, free)
	if b.stride > 2 {
		atomic.StoreUint64(b.word(slot, 2), extra)
	}
	atomic.StoreUint64(b.word(slot, 0), e.FP.Second)
	half := &b.mem[int(b.halves)+slot>>1]
	atomic.StoreUint64(half, withHalf(*half, slot, fp.Home(first)))
	atomic.StoreUint64(b.word(slot, 1), fp.Rest(first)<<MetaBits|e.Meta)
	for p := b.walk(first); p.pair != w.pair; p.next(b) {
		p.mark(b, fp.Rest(first))
	}
	atomic.StoreUint64(b.tags(group), *b.tags(group)|fp.Tag(first)<<(8*(uint(slot)-uint(group)*perGroup)))
}

// fill is insert into a block that no reader knows yet, and returns how many steps the entry lies from its home. Of first, the shard may be left out.
func (b *block) fill(first, w0, w1, extra uint64) (steps int) {
	w := b.walk(first)
	group, free := w.emptier(b)
	for ; free == 0; steps++ {
		w.mark(b, fp.Rest(first))
		w.next(b)
		group, free = w.emptier(b)
	}
	in := bits.TrailingZeros64(free) >> 3
	slot := int(group)*perGroup + in
	at := int(b.slots) + slot*int(b.stride)
	b.mem[at], b.mem[at+1] = w0, w1
	if b.stride > 2 {
		b.mem[at+2] = extra
	}
	half := int(b.halves) + slot>>1
	b.mem[half] = withHalf(b.mem[half], slot, fp.Home(first))
	*b.tags(group) |= fp.Tag(first) << (8 * in)
	return steps
}

func withHalf(word uint64, slot int, home uint64) uint64 {
	shift := slot & 1 << 5
	return word&^((1<<fp.HomeBits-1)<<shift) | home<<shift
}

// remove takes the entry of a slot out.
func (b *block) remove(slot int) {
	tags := b.tags(uint64(slot / perGroup))
	atomic.StoreUint64(tags, *tags&^(0xff<<(8*(uint(slot)%perGroup))))
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
