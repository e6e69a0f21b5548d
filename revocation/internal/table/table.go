package table

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"

	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
	"github.com/curfewhq/curfew/revocation/internal/prefetch"
)

// Shards is how many shards a table has.
const Shards = 1 << fp.ShardBits

// Table is a table of fingerprints. Make one with New. Prefetch, Find and FindExtra are for any goroutine; all else takes the lock of a
// shard for as long as it works on it.
type Table struct {
	stride int
	// first: shard → where nearly every search ends.
	first [Shards]first
	// blocks: shard → what the others search.
	blocks [Shards]atomic.Pointer[block]
	shards [Shards]shard
	// used has a bit for each shard that has held an entry.
	used [Shards / 64]atomic.Uint64
	n    atomic.Int64
	// dropped counts the records that there was no room for.
	dropped atomic.Uint64
}

// first is what the first look of a search needs, without a load of the block itself: its tag words and how many they are. tags is nil while they change, so
// a reader that finds the same tags before and after it has read groups has what belongs together: by holding the tags it keeps
// their block, and so no other can come to lie there.
type first struct {
	tags   atomic.Pointer[uint64]
	groups atomic.Uint64
}

// shard is what only writers of a shard need.
type shard struct {
	mu sync.Mutex
	// n counts the entries, and removed those that were removed since the block was filled; used is up to where the arena is written, and live how
	// many of its words belong to entries.
	n, removed, used, live int
}

// New returns an empty table. With extra each entry has a word of its own beside meta, and may have a record.
func New(extra bool) *Table {
	t := &Table{stride: 2}
	if extra {
		t.stride = 3
	}
	empty := unusedBlock(t.stride)
	for i := range t.blocks {
		t.show(i, empty)
	}
	return t
}

// Len returns the number of entries.
func (t *Table) Len() int { return int(t.n.Load()) }

// Dropped returns how often an entry had to go without its record, for its shard had no room for more of them.
func (t *Table) Dropped() uint64 { return t.dropped.Load() }

// inUse yields the shards that have held an entry.
func (t *Table) inUse(yield func(int) bool) {
	for i := range t.used {
		for w := t.used[i].Load(); w != 0; w &= w - 1 {
			if !yield(64*i + bits.TrailingZeros64(w)) {
				return
			}
		}
	}
}

// publish lets readers of a shard find a block that has entries.
func (t *Table) publish(i int, b *block) {
	t.show(i, b)
	t.used[i/64].Or(1 << (i % 64))
}

func (t *Table) show(i int, b *block) {
	t.first[i].tags.Store(nil)
	t.blocks[i].Store(b)
	t.first[i].groups.Store(b.groups)
	t.first[i].tags.Store(b.tags(0))
}

// Words returns how many words the table has allocated. It reads shard after shard.
func (t *Table) Words() int {
	n := 0
	for i := range t.blocks {
		b := t.blocks[i].Load()
		n += len(b.mem) + len(b.arena)
	}
	return n
}

// Prefetch asks the memory for what a search will read, and doesn't wait. Whoever looks for several things asks for all of them before the first search, so
// that the memory answers them side by side.
func (t *Table) Prefetch(f fp.FP) {
	h := &t.first[fp.Shard(f.First)]
	group := home(fp.Home(f.First), h.groups.Load())
	prefetch.Line(uintptr(unsafe.Pointer(h.tags.Load())) + uintptr(group)*8) //nolint:gosec // a hint for the cache, never dereferenced
}

// Find looks for a fingerprint in a table without extra words.
func (t *Table) Find(f fp.FP) (meta uint64, ok bool) {
	if t.first[fp.Shard(f.First)].misses(f.First) {
		return 0, false
	}
	return t.find(f)
}

func (t *Table) find(f fp.FP) (meta uint64, ok bool) {
	_, meta, ok = t.blocks[fp.Shard(f.First)].Load().find(f)
	return meta, ok
}

// misses reports whether a fingerprint isn't there, as two tag words of one cache line tell of nearly all that aren't.
func (h *first) misses(f uint64) bool {
	tags, groups := h.load()
	if tags == nil {
		return false
	}
	group := home(fp.Home(f), groups)
	return !likely(tagWord(tags, group), tagWord(tags, other(group, step(f), lineMask(groups))), f)
}

// load returns no tags if they change.
func (h *first) load() (tags *uint64, groups uint64) {
	tags, groups = h.tags.Load(), h.groups.Load()
	if tags != h.tags.Load() {
		return nil, 0
	}
	return tags, groups
}

// tagWord reads one of the tag words that begin at tags.
func tagWord(tags *uint64, group uint64) uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Add(unsafe.Pointer(tags), group*8))) //nolint:gosec // home and other give groups that there are
}

// likely reports whether one of a pair of tag words has the tag of a fingerprint, or both say that it may lie further on. It takes fewer steps than
// matches, and may err towards yes.
func likely(word, other, first uint64) bool {
	x, y := word^fp.Tag(first)*ones, other^fp.Tag(first)*ones
	return ((x-ones)&^x|(y-ones)&^y)&high|(word&other)>>(8*perGroup|first>>fp.TagBits&7)&1 != 0
}

// FindExtra is Find for a table with extra words. The record is nil if the entry has none, and must not be changed.
//
// The extra word is read before meta's last reading, and written after it: a reader may hold the meta of a later event than the extra word's,
// never of an earlier one. Nor does it hold another entry's extra word, as without its second reading:
//
//  1. f is found; 2. f expires, and g gets its slot; 3. g's extra word is read; 4. g expires, and f comes back to the slot; 5. f is found there again.
func (t *Table) FindExtra(f fp.FP) (meta, extra uint64, record []uint64, ok bool) {
	if t.first[fp.Shard(f.First)].misses(f.First) {
		return 0, 0, nil, false
	}
	b := t.blocks[fp.Shard(f.First)].Load()
	slot, _, ok := b.find(f)
	for ok {
		extra = atomic.LoadUint64(b.word(slot, 2))
		var again int
		again, meta, ok = b.find(f)
		if ok && again == slot && atomic.LoadUint64(b.word(slot, 2)) == extra {
			return meta, extra &^ offsetMask, b.record(extra), true
		}
		// The entry has expired meanwhile, and the slot may have been given to another.
		slot = again
	}
	return 0, 0, nil, false
}

// OffsetBits is how many low bits of an extra word say where the entry's record lies. They are the table's.
const (
	OffsetBits = 22
	offsetMask = 1<<OffsetBits - 1
)

// record returns the record that an extra word points to: its first word tells its length.
func (b *block) record(extra uint64) []uint64 {
	at := int(extra & offsetMask)
	if at == 0 {
		return nil
	}
	n := int(b.arena[at-1])
	return b.arena[at : at+n]
}

// Update changes one entry: change is given what is there, or an entry without anything but its fingerprint, and returns what shall be there. The entry
// that it is given is its to keep, but for the record's words. It reports whether the entry is new.
func (t *Table) Update(f fp.FP, change func(old Entry, there bool) Entry) (inserted bool) {
	i := fp.Shard(f.First)
	s := &t.shards[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	b := t.blocks[i].Load()
	old := Entry{FP: f}
	slot, _, there := b.find(f)
	if there {
		old = b.entry(i, slot)
	}
	e := change(old, there)
	switch {
	case !there:
		t.add(i, s, &e)
		t.n.Add(1)
	case e.Meta != old.Meta || e.Extra != old.Extra || !sameRecord(e.Record, old.Record):
		t.replace(i, s, slot, &old, &e)
	}
	return !there
}

func sameRecord(a, b []uint64) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// entry returns what a slot of shard i holds.
func (b *block) entry(i, slot int) Entry {
	w1 := *b.word(slot, 1)
	tag := *b.tags(uint64(slot / perGroup)) >> (8 * (uint(slot) % perGroup)) & 0xff
	e := Entry{
		FP:   fp.FP{First: fp.Join(i, tag, b.half(slot), w1>>MetaBits), Second: *b.word(slot, 0)},
		Meta: w1 & metaMask,
	}
	if b.stride > 2 {
		extra := *b.word(slot, 2)
		e.Extra, e.Record = extra&^offsetMask, b.record(extra)
	}
	return e
}
