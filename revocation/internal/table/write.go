package table

import (
	"math/bits"
	"sync/atomic"

	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

func slotOf(group, match uint64) int {
	return int(group)*perGroup + bits.TrailingZeros64(match)>>3
}

// room is how many entries a block of so many groups takes: 29 of 32 slots. Fuller groups would save little, and make searches pass over many.
func room(groups uint64) int { return int(groups) * perGroup * 29 / 32 }

// groupsFor is the least number of groups with room for n.
func groupsFor(n int) int {
	groups := 1
	if n > room(lineGroups) {
		groups = n * 32 / (perGroup * 29) &^ (lineGroups - 1)
	}
	for room(uint64(groups)) < n {
		groups = nextGroups(groups)
	}
	return groups
}

// grown is the next size of a full shard: about a 32nd to a 17th more, another part in each shard, so that the shards aren't all full, or all
// roomy, at the same number of entries.
func grown(groups uint64, shard int) int {
	more := int(groups) * (8 + shard&7) / 256 / lineGroups * lineGroups
	return nextGroups(int(groups) + more)
}

// add inserts an entry that isn't there. The shard's lock is held.
func (t *Table) add(i int, s *shard, e *Entry) {
	b := t.blocks[i].Load()
	if s.n+1 > room(b.groups) || b.unused() {
		groups := grown(b.groups, i)
		if b.unused() {
			groups = 1
		}
		b = t.rebuild(i, s, groups, recordWords(e.Record), nil)
	}
	b, extra := t.withRecord(i, s, b, e)
	b.insert(e, extra)
	s.n++
}

// replace changes the words of an entry that is there, meta before extra: see FindExtra.
func (t *Table) replace(i int, s *shard, slot int, old, e *Entry) {
	b := t.blocks[i].Load()
	extra := uint64(0)
	if t.stride > 2 {
		if sameRecord(old.Record, e.Record) {
			extra = e.Extra | *b.word(slot, 2)&offsetMask
		} else {
			before := b
			if b, extra = t.withRecord(i, s, b, e); b != before {
				slot, _, _ = b.find(e.FP)
			}
			s.live -= recordWords(old.Record)
		}
	}
	atomic.StoreUint64(b.word(slot, 1), fp.Rest(e.FP.First)<<MetaBits|e.Meta)
	if t.stride > 2 {
		atomic.StoreUint64(b.word(slot, 2), extra)
	}
}

// recordWords is what a record takes in the arena.
func recordWords(record []uint64) int {
	if len(record) == 0 {
		return 0
	}
	return 1 + len(record)
}

// mostArena is how many words an arena has at most, so that OffsetBits tell every record in it: 32 MiB of them. crowded is how many belong to entries when no
// more are taken, for otherwise the shard would have to be filled anew for every one.
const (
	mostArena = offsetMask
	crowded   = mostArena / 8 * 7
)

// withRecord writes an entry's record into the arena, for which the shard may have to be filled anew, and returns the block and the extra word. If there is
// no room, the entry goes without.
func (t *Table) withRecord(i int, s *shard, b *block, e *Entry) (*block, uint64) {
	need := recordWords(e.Record)
	if need == 0 {
		return b, e.Extra
	}
	if s.used+need > len(b.arena) {
		if s.live+need > crowded {
			t.dropped.Add(1)
			return b, e.Extra
		}
		b = t.rebuild(i, s, int(b.groups), need, nil)
	}
	extra := e.Extra | b.write(s, e.Record)
	return b, extra
}

// write appends a record and returns its offset, which is never 0.
func (b *block) write(s *shard, record []uint64) uint64 {
	at := s.used
	b.arena[at] = uint64(len(record))
	copy(b.arena[at+1:], record)
	s.used += recordWords(record)
	s.live += recordWords(record)
	return uint64(at + 1)
}

// rebuild fills another block with what the shard holds, but for what drop names, leaves room for a record of so many words, and lets readers find it.
func (t *Table) rebuild(i int, s *shard, groups, record int, drop func(meta uint64) bool) *block {
	old := t.blocks[i].Load()
	arena := 0
	if s.live+record > 0 {
		arena = min(s.live+s.live/2+record+8, mostArena)
	}
	b := newBlock(groups, t.stride, arena)
	s.n, s.removed, s.used, s.live = 0, 0, 0, 0
	old.each(func(slot int, tag uint64) {
		w1 := *old.word(slot, 1)
		if drop != nil && drop(w1&metaMask) {
			return
		}
		var extra uint64
		if t.stride > 2 {
			extra = *old.word(slot, 2)
			if record := old.record(extra); record != nil {
				extra = extra&^offsetMask | b.write(s, record)
			}
		}
		b.fill(fp.Join(0, tag, old.half(slot), w1>>MetaBits), *old.word(slot, 0), w1, extra)
		s.n++
	})
	t.publish(i, b)
	return b
}

// Expire removes the entries whose meta over names, shard by shard, and returns how many they were. A shard that is left with much less than it has room
// for gives its memory back.
func (t *Table) Expire(over func(meta uint64) bool) int {
	gone := 0
	for i := range t.inUse {
		gone += t.expire(i, over)
	}
	t.n.Add(-int64(gone))
	return gone
}

func (t *Table) expire(i int, over func(meta uint64) bool) int {
	s := &t.shards[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	b := t.blocks[i].Load()
	var slots []int
	b.each(func(slot int, _ uint64) {
		if over(*b.word(slot, 1) & metaMask) {
			slots = append(slots, slot)
		}
	})
	left := s.n - len(slots)
	switch {
	case len(slots) == 0:
	case left < room(b.groups)*3/4 || s.removed+len(slots) > s.n/4:
		// Much memory to give back, or many marks of entries that are gone, by which searches pass groups over in vain.
		t.rebuild(i, s, groupsFor(left+left/16), 0, over)
	default:
		for _, slot := range slots {
			if t.stride > 2 {
				s.live -= recordWords(b.record(*b.word(slot, 2)))
			}
			b.remove(slot)
			s.n--
		}
		s.removed += len(slots)
	}
	return len(slots)
}

// Each calls fn for each entry of a shard, under its lock, in no order. fn may keep the record, which doesn't change, and must not use the table.
func (t *Table) Each(i int, fn func(Entry)) {
	if t.blocks[i].Load().unused() {
		return
	}
	s := &t.shards[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	b := t.blocks[i].Load()
	b.each(func(slot int, _ uint64) { fn(b.entry(i, slot)) })
}

// Rewrite changes the meta of every entry.
func (t *Table) Rewrite(change func(meta uint64) uint64) {
	for i := range t.inUse {
		s := &t.shards[i]
		s.mu.Lock()
		b := t.blocks[i].Load()
		b.each(func(slot int, _ uint64) {
			w := b.word(slot, 1)
			atomic.StoreUint64(w, *w&^metaMask|change(*w&metaMask)&metaMask)
		})
		s.mu.Unlock()
	}
}

// mostSteps is how far an entry may lie from its home for Fill to take it. Of random fingerprints hardly any lies three steps away.
const mostSteps = 64

// Fill puts entries of shard i into the shard, if it is empty: none twice, and all at once for readers. It reports whether it has. It takes none if many
// have the same home, which takes it, and every search later, ever longer: so they were chosen.
func (t *Table) Fill(i int, entries []Entry) bool {
	s := &t.shards[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n > 0 {
		return false
	}
	if len(entries) == 0 {
		return true
	}
	arena := 0
	for _, e := range entries {
		arena += recordWords(e.Record)
	}
	b := newBlock(groupsFor(len(entries)), t.stride, min(arena, mostArena))
	filled, dropped := shard{n: len(entries)}, 0
	for _, e := range entries {
		first := e.FP.First
		switch need := recordWords(e.Record); {
		case need == 0:
		case filled.live+need > crowded:
			dropped++
		default:
			e.Extra |= b.write(&filled, e.Record)
		}
		if b.fill(first, e.FP.Second, fp.Rest(first)<<MetaBits|e.Meta, e.Extra) > mostSteps {
			return false
		}
	}
	s.n, s.removed, s.used, s.live = filled.n, 0, filled.used, filled.live
	t.publish(i, b)
	t.n.Add(int64(len(entries)))
	t.dropped.Add(uint64(dropped))
	return true
}
