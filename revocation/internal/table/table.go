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

// Table is a table of fingerprints. Make one with New. Probe and what follows from it are for any goroutine; all else takes the lock of a
// shard for as long as it works on it.
type Table struct {
	stride int
	// blocks: shard → what readers search.
	blocks [Shards]atomic.Pointer[block]
	shards [Shards]shard
	// hints: shard → where Prefetch should look. They may be of different blocks while one takes another's place, or of none any more.
	hints [Shards]hint
	// used has a bit for each shard that has held an entry.
	used [Shards / 64]atomic.Uint64
	n    atomic.Int64
}

// shard is what only writers of a shard need.
type shard struct {
	mu sync.Mutex
	// n counts the entries, and removed those that were removed since the block was filled; used is up to where the arena is written, and live how
	// many of its words belong to entries.
	n, removed, used, live int
}

// hint is what Prefetch needs of a block, where it needn't wait for the block itself: an address, which keeps nothing alive and is never read.
type hint struct {
	tags   atomic.Uintptr
	groups atomic.Uint64
}

// New returns an empty table. With extra each entry has a word of its own beside meta, and may have a record.
func New(extra bool) *Table {
	t := &Table{stride: 2}
	if extra {
		t.stride = 3
	}
	empty := &block{groups: 1, stride: uint8(t.stride)}
	for i := range t.blocks {
		t.blocks[i].Store(empty)
	}
	return t
}

// Len returns the number of entries.
func (t *Table) Len() int { return int(t.n.Load()) }

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

// publish lets readers of a shard find a block.
func (t *Table) publish(i int, b *block) {
	t.blocks[i].Store(b)
	t.used[i/64].Or(1 << (i % 64))
	t.hints[i].groups.Store(b.groups)
	t.hints[i].tags.Store(uintptr(unsafe.Pointer(b.tags(0)))) //nolint:gosec // a hint for the cache, never dereferenced
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

// Probe is a search under way: its first tag word has been asked for. Whoever looks for several things makes all probes before the first Misses,
// so that the memory answers them side by side. The zero value misses.
type Probe struct {
	block       *block
	first, word uint64
	// more is 0 if the tag word alone tells that nothing is there.
	more uint64
}

// Prefetch asks the memory for what Probe will read, and doesn't wait.
func (t *Table) Prefetch(first uint64) {
	i := fp.Shard(first)
	h := &t.hints[i]
	group := fp.Home(first) * h.groups.Load() >> fp.HomeBits
	prefetch.Line(h.tags.Load() + uintptr(group)*8)
	prefetch.Line(uintptr(unsafe.Pointer(t.blocks[i].Load()))) //nolint:gosec // as above
}

// Probe begins a search for what has that first half of its fingerprint.
func (t *Table) Probe(first uint64) Probe {
	b := t.blocks[fp.Shard(first)].Load()
	group := b.home(fp.Home(first))
	word := atomic.LoadUint64(b.tags(group))
	return Probe{block: b, first: first, word: word, more: matches(word, fp.Tag(first)) | word&passed(fp.Rest(first))}
}

// Misses reports whether nothing is there, which the first half nearly always tells. If it returns false, Find decides by the second half.
func (p *Probe) Misses() bool {
	return p.more == 0 || !p.block.likely(p.first, p.word)
}

// Find ends a search in a table without extra words.
func (p *Probe) Find(second uint64) (meta uint64, ok bool) {
	_, meta, ok = p.block.find(fp.FP{First: p.first, Second: second})
	return meta, ok
}

// FindExtra ends a search in a table with extra words. The record is nil if the entry has none, and must not be changed.
//
// The extra word is read before meta's last reading, and written after it: a reader may hold the meta of a later event than the extra word's,
// never of an earlier one.
func (p *Probe) FindExtra(second uint64) (meta, extra uint64, record []uint64, ok bool) {
	b, f := p.block, fp.FP{First: p.first, Second: second}
	slot, _, ok := b.find(f)
	for ok {
		extra = atomic.LoadUint64(b.word(slot, 2))
		var again int
		again, meta, ok = b.find(f)
		if ok && again == slot {
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
