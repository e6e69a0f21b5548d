package table

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

var hasher = fp.New([fp.KeySize]byte{1}, "default")

func digest(n int) fp.FP {
	return hasher.Usual(fp.Session, fmt.Sprint(n))
}

func find(t *Table, f fp.FP) (w want, ok bool) {
	if t.stride > 2 {
		w.meta, w.extra, w.record, ok = t.FindExtra(f)
	} else {
		w.meta, ok = t.Find(f)
	}
	return w, ok
}

// near returns fingerprints of few shards, groups and tags, so that they get into each other's way: home, tag and the rest are drawn from small numbers.
var near = rapid.Custom(func(t *rapid.T) fp.FP {
	d := digest(rapid.IntRange(0, 30).Draw(t, "after"))
	shard := rapid.IntRange(0, 1).Draw(t, "shard")
	tag := rapid.SampledFrom([]uint64{1, 2, 3, 254, 255}).Draw(t, "tag")
	home := rapid.SampledFrom([]uint64{0, 1, 1 << 31, 1<<32 - 1}).Draw(t, "home")
	rest := rapid.SampledFrom([]uint64{0, 1, 1<<14 - 1}).Draw(t, "rest")
	d.First = fp.Join(shard, tag, home, rest)
	return d
})

type want struct {
	meta, extra uint64
	record      []uint64
}

func set(t *Table, f fp.FP, w want) bool {
	return t.Update(f, func(old Entry, _ bool) Entry {
		old.Meta, old.Extra = w.meta, w.extra
		if !slices.Equal(old.Record, w.record) {
			old.Record = w.record
		}
		return old
	})
}

// A table is a map from fingerprints, whatever is done to it.
func TestTableEqualsMap(t *testing.T) {
	for _, extra := range []bool{false, true} {
		t.Run(fmt.Sprint("extra ", extra), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { tableEqualsMap(t, extra) })
		})
	}
}

func tableEqualsMap(t *rapid.T, extra bool) {
	table, model := New(extra), map[fp.FP]want{}
	var known []fp.FP
	draw := func() fp.FP {
		if n := len(known); n > 0 && rapid.IntRange(0, 1).Draw(t, "again") == 0 {
			return known[rapid.IntRange(0, n-1).Draw(t, "which")]
		}
		d := near.Draw(t, "digest")
		known = append(known, d)
		return d
	}
	for range rapid.IntRange(1, 300).Draw(t, "steps") {
		switch rapid.IntRange(0, 20).Draw(t, "step") {
		case 0:
			bit := rapid.Uint64Range(0, 7).Draw(t, "bits")
			over := func(meta uint64) bool { return meta&7 == bit }
			n := table.Expire(over)
			for f, w := range model {
				if over(w.meta) {
					delete(model, f)
					n--
				}
			}
			if n != 0 {
				t.Fatalf("Expire removed %d too many", n)
			}
		case 1:
			table.Rewrite(func(meta uint64) uint64 { return meta + 8 })
			for f, w := range model {
				w.meta = (w.meta + 8) & metaMask
				model[f] = w
			}
		default:
			d := draw()
			w := want{meta: rapid.Uint64Range(0, metaMask).Draw(t, "meta")}
			if extra {
				w.extra = rapid.Uint64().Draw(t, "extra") &^ offsetMask
				if n := rapid.IntRange(0, 40).Draw(t, "record"); n > 0 {
					w.record = rapid.SliceOfN(rapid.Uint64(), n, n).Draw(t, "words")
				}
			}
			_, there := model[d]
			if inserted := set(table, d, w); inserted == there {
				t.Fatalf("inserted %t, but it was there: %t", inserted, there)
			}
			model[d] = w
		}
	}
	for range 50 {
		draw()
	}
	check(t, table, model, known)
}

func check(t *rapid.T, table *Table, model map[fp.FP]want, known []fp.FP) {
	if table.Len() != len(model) {
		t.Fatalf("%d entries, want %d", table.Len(), len(model))
	}
	for _, f := range known {
		w, there := model[f]
		got, ok := find(table, f)
		if ok != there || got.meta != w.meta || got.extra != w.extra || !slices.Equal(got.record, w.record) {
			t.Fatalf("%x: %t %+v, want %t %+v", f, ok, got, there, w)
		}
	}
	for i := range Shards {
		table.Each(i, func(e Entry) {
			w, there := model[e.FP]
			if !there || e.Meta != w.meta || e.Extra != w.extra || !slices.Equal(e.Record, w.record) || fp.Shard(e.FP.First) != i {
				t.Fatalf("Each has %+v, want %t %+v", e, there, w)
			}
			delete(model, e.FP)
		})
	}
	if len(model) > 0 {
		t.Fatalf("Each left out %v", model)
	}
}

// The usual way to find a zero byte flags a byte of 1 above a true match, here an empty slot above the tag 1, and an empty slot may hold what was deleted.
func TestMatchesIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var word uint64
		tags := rapid.SliceOfN(rapid.SampledFrom([]uint64{0, 1, 2, 127, 128, 129, 254, 255}), perGroup, perGroup).Draw(t, "tags")
		for i, tag := range tags {
			word |= tag << (8 * i)
		}
		word |= rapid.Uint64Range(0, 255).Draw(t, "passed") << 56
		tag := rapid.SampledFrom([]uint64{0, 1, 2, 127, 128, 129, 254, 255}).Draw(t, "tag")
		var want uint64
		for i := range tags {
			if tags[i] == tag {
				want |= 0x80 << (8 * i)
			}
		}
		if got := matches(word, tag); got != want {
			t.Fatalf("matches(%x, %d) = %x, want %x", word, tag, got, want)
		}
	})
}

// What Fill lays out at once is what Update lays out one by one.
func TestFill(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	one, all := New(true), New(true)
	shards := map[int][]Entry{}
	for n := range 20_000 {
		e := Entry{FP: digest(n), Meta: rng.Uint64() & metaMask, Extra: rng.Uint64() &^ offsetMask}
		if n%5 == 0 {
			e.Record = []uint64{uint64(n), 2, 3}
		}
		one.Update(e.FP, func(Entry, bool) Entry { return e })
		i := fp.Shard(e.FP.First)
		shards[i] = append(shards[i], e)
	}
	for i, entries := range shards {
		if !all.Fill(i, entries) {
			t.Fatalf("shard %d isn't empty", i)
		}
	}
	if all.Fill(fp.Shard(digest(1).First), nil) {
		t.Error("Fill has put entries into a shard that isn't empty")
	}
	if one.Len() != all.Len() {
		t.Fatalf("%d and %d entries", one.Len(), all.Len())
	}
	for n := range 40_000 {
		a, inOne := find(one, digest(n))
		b, inAll := find(all, digest(n))
		if inOne != (n < 20_000) || inOne != inAll || a.meta != b.meta || a.extra != b.extra || !slices.Equal(a.record, b.record) {
			t.Fatalf("%d: %+v %t and %+v %t", n, a, inOne, b, inAll)
		}
	}
}

// However many have the same home, searches still find everything and still end.
func TestManyOfOneHome(t *testing.T) {
	table := New(false)
	const n = 3000
	at := func(i int) fp.FP {
		d := digest(i)
		d.First = fp.Join(7, uint64(i%255)+1, 1<<31, uint64(i)>>8)
		return d
	}
	for i := range n {
		set(table, at(i), want{meta: uint64(i)})
	}
	for i := range 2 * n {
		if w, ok := find(table, at(i)); ok != (i < n) || ok && w.meta != uint64(i) {
			t.Fatalf("%d: %d, %t", i, w.meta, ok)
		}
	}
	if gone := table.Expire(func(meta uint64) bool { return meta != 5 }); gone != n-1 {
		t.Errorf("%d are gone, want %d", gone, n-1)
	}
	if w, ok := find(table, at(5)); !ok || w.meta != 5 {
		t.Errorf("%d, %t", w.meta, ok)
	}
	if b := table.blocks[7].Load(); len(b.mem) > words(2, 2) {
		t.Errorf("%d words are kept for one entry", len(b.mem))
	}
}

// Fill refuses what would take it, and every search, ever longer.
func TestFillRefusesManyOfOneHome(t *testing.T) {
	table := New(false)
	entries := make([]Entry, 200_000)
	for i := range entries {
		entries[i].FP = digest(i)
		entries[i].FP.First = fp.Join(7, uint64(i%255)+1, 1<<31, uint64(i)>>8)
	}
	if table.Fill(7, entries) {
		t.Error("filled")
	}
	if _, ok := find(table, entries[0].FP); ok || table.Len() != 0 {
		t.Errorf("found %t, %d entries; want an empty table", ok, table.Len())
	}
	if !table.Fill(7, entries[:100]) || table.Len() != 100 {
		t.Errorf("%d entries, want 100", table.Len())
	}
}

// A shard has room for so many records. Beyond, entries go without, and nobody gets another's.
func TestRecordsBeyondTheArena(t *testing.T) {
	const n, length, shard = 70_000, 65, 5
	at := func(i int) fp.FP {
		d := digest(i)
		d.First = fp.Join(shard, fp.Tag(d.First), fp.Home(d.First), fp.Rest(d.First))
		return d
	}
	entry := func(i int) Entry {
		record := make([]uint64, length)
		record[0], record[length-1] = uint64(i), ^uint64(i)
		return Entry{FP: at(i), Meta: uint64(i), Extra: uint64(i) << OffsetBits, Record: record}
	}
	check := func(t *testing.T, table *Table, from, to, least int) {
		t.Helper()
		without := 0
		for i := from; i < to; i++ {
			w, ok := find(table, at(i))
			if !ok || w.meta != uint64(i) || w.extra != uint64(i)<<OffsetBits {
				t.Fatalf("%d: found %t, meta %d, extra %x", i, ok, w.meta, w.extra)
			}
			if w.record == nil {
				without++
			} else if !slices.Equal(w.record, entry(i).Record) {
				t.Fatalf("%d has another's record", i)
			}
		}
		if uint64(without) != table.Dropped() || without < least || without > (to-from)/2 {
			t.Errorf("%d of %d have no record, and %d were dropped; want at least %d", without, to-from, table.Dropped(), least)
		}
	}
	one, all := New(true), New(true)
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = entry(i)
		one.Update(at(i), func(Entry, bool) Entry { return entries[i] })
	}
	if !all.Fill(shard, entries) {
		t.Fatal("not filled")
	}
	least := n - mostArena/(length+1)
	t.Run("by Update", func(t *testing.T) { check(t, one, 0, n, least) })
	t.Run("by Fill", func(t *testing.T) { check(t, all, 0, n, least) })
	// Once there is room again, it is used.
	one.Expire(func(meta uint64) bool { return meta < n/2 })
	before := one.Dropped()
	for i := n; i < n+1000; i++ {
		one.Update(at(i), func(Entry, bool) Entry { return entry(i) })
	}
	if one.Dropped() != before {
		t.Errorf("%d records were dropped though there was room", one.Dropped()-before)
	}
}

// likely never says no where there is something, however few steps it takes.
func TestLikelyErrsTowardsYes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint64().Draw(t, "first")
		words := [2]uint64{rapid.Uint64().Draw(t, "word"), rapid.Uint64().Draw(t, "other")}
		if in := rapid.IntRange(-1, perGroup-1).Draw(t, "match"); in >= 0 {
			w := &words[rapid.IntRange(0, 1).Draw(t, "which")]
			*w = *w&^(0xff<<(8*in)) | fp.Tag(first)<<(8*in)
		}
		exact := matches(words[0], fp.Tag(first))|matches(words[1], fp.Tag(first))|words[0]&words[1]&passed(fp.Rest(first)) != 0
		if got := likely(words[0], words[1], first); exact && !got {
			t.Fatalf("%x, %x: nothing", words, first)
		}
	})
}

// A walk visits every group before it comes back to where it began.
func TestWalkVisitsAll(t *testing.T) {
	for groups := 1; groups < 100; groups = nextGroups(groups) {
		for at := range 200 {
			b := newBlock(groups, 2, 0)
			w := b.walk(digest(at).First)
			seen := map[uint64]bool{}
			for range max(1, b.groups/2) {
				seen[w.pair[0]], seen[w.pair[1]] = true, true
				w.next(b)
			}
			if len(seen) != int(b.groups) || b.groups > 1 && w.pair[0] == w.pair[1] {
				t.Fatalf("%d groups: %v, %v", b.groups, seen, w)
			}
		}
	}
}
