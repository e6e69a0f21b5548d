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

	ones = 0x0001010101010101 // the lowest bit of each tag
	low7 = 0x007f7f7f7f7f7f7f
	high = 0x0080808080808080
)

// passed is the bit of a tag word that says whether an entry with such a rest has had to pass the group over. It is never taken back within a
// block, for others may have set it too.
func passed(rest uint64) uint64 { return 1 << (8*perGroup + rest>>3&7) }

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

// walk is the way from an entry's home to the groups where else it may lie: first the other groups of the same cache line, in one of four orders that
// the fingerprint chooses, so that full neighbours don't share their overflow, and then those of the next line.
type walk struct {
	group uint64
	// step is odd; left is how many groups of the line there are with this one.
	step, left uint64
}

// lineGroups is how many tag words share a cache line.
const lineGroups = 8

func (b *block) walk(home, rest uint64) walk {
	group := b.home(home)
	return walk{group: group, step: rest&6 | 1, left: b.line(group)}
}

// line returns how many groups the line of a group has: the last may have fewer.
func (b *block) line(group uint64) uint64 { return min(lineGroups, b.groups-group&^(lineGroups-1)) }

func (w *walk) next(b *block) {
	first := w.group &^ (lineGroups - 1)
	in, size := w.group-first, b.line(w.group)
	if w.left--; w.left == 0 {
		if first += lineGroups; first >= b.groups {
			first = 0
		}
		size = b.line(first)
		w.group, w.left = first+min(in, size-1), size
		return
	}
	if size == lineGroups {
		in = (in + w.step) & (lineGroups - 1)
	} else if in++; in == size {
		in = 0
	}
	w.group = first + in
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

// likely reports whether there is an entry whose first half is that one's, whose home's tag word has been read already.
func (b *block) likely(first, word uint64) bool {
	tag, rest := fp.Tag(first), fp.Rest(first)
	w := b.walk(fp.Home(first), rest)
	for range b.groups + lineGroups {
		for m := matches(word, tag); m != 0; m &= m - 1 {
			slot := slotOf(w.group, m)
			if atomic.LoadUint64(b.word(slot, 1))>>MetaBits == rest && b.half(slot) == fp.Home(first) {
				return true
			}
		}
		if word&passed(rest) == 0 {
			break
		}
		w.next(b)
		word = atomic.LoadUint64(b.tags(w.group))
	}
	return false
}

// find looks for a fingerprint and returns the slot and its meta, as it was while the slot was the fingerprint's.
func (b *block) find(f fp.FP) (slot int, meta uint64, ok bool) {
	first := f.First
	tag, rest := fp.Tag(first), fp.Rest(first)
	w := b.walk(fp.Home(first), rest)
	for range b.groups + lineGroups {
		word := atomic.LoadUint64(b.tags(w.group))
		for m := matches(word, tag); m != 0; m &= m - 1 {
			slot := slotOf(w.group, m)
			w1 := atomic.LoadUint64(b.word(slot, 1))
			if w1>>MetaBits == rest && b.half(slot) == fp.Home(first) && atomic.LoadUint64(b.word(slot, 0)) == f.Second {
				return slot, w1 & metaMask, true
			}
		}
		if word&passed(rest) == 0 {
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
	w := b.walk(fp.Home(first), fp.Rest(first))
	free := matches(*b.tags(w.group), 0)
	for free == 0 {
		w.next(b)
		free = matches(*b.tags(w.group), 0)
	}
	group, slot := w.group, slotOf(w.group, free)
	if b.stride > 2 {
		atomic.StoreUint64(b.word(slot, 2), extra)
	}
	atomic.StoreUint64(b.word(slot, 0), e.FP.Second)
	half := &b.mem[int(b.halves)+slot>>1]
	atomic.StoreUint64(half, withHalf(*half, slot, fp.Home(first)))
	atomic.StoreUint64(b.word(slot, 1), fp.Rest(first)<<MetaBits|e.Meta)
	for p := b.walk(fp.Home(first), fp.Rest(first)); p.group != group; p.next(b) {
		atomic.StoreUint64(b.tags(p.group), *b.tags(p.group)|passed(fp.Rest(first)))
	}
	atomic.StoreUint64(b.tags(group), *b.tags(group)|fp.Tag(first)<<(8*(uint(slot)-uint(group)*perGroup)))
}

// fill is insert into a block that no reader knows yet.
func (b *block) fill(tag, home, w0, w1, extra uint64) {
	w := b.walk(home, w1>>MetaBits)
	free := matches(*b.tags(w.group), 0)
	for free == 0 {
		*b.tags(w.group) |= passed(w1 >> MetaBits)
		w.next(b)
		free = matches(*b.tags(w.group), 0)
	}
	in := bits.TrailingZeros64(free) >> 3
	slot := int(w.group)*perGroup + in
	at := int(b.slots) + slot*int(b.stride)
	b.mem[at], b.mem[at+1] = w0, w1
	if b.stride > 2 {
		b.mem[at+2] = extra
	}
	half := int(b.halves) + slot>>1
	b.mem[half] = withHalf(b.mem[half], slot, home)
	*b.tags(w.group) |= tag << (8 * in)
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
