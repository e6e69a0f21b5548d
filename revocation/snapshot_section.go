package revocation

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"

	"github.com/curfewhq/curfew/revocation/internal/bitstream"
	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
	"github.com/curfewhq/curfew/revocation/internal/table"
)

// A snapshot is a header and then a section for each shard of the sessions, and for each of the scopes. A section is
//
//	| length of what follows, 4 bytes | CRC-32C of the rest, 4 bytes | frame | bits |
//
// and holds the shard's entries ordered by the first bits of their home, as many bits as make the expected number of entries with the same ones
// about one. Those bits aren't written: a number in unary says how many entries there are of each (Elias and Fano's way to write a sorted list).
// Of the rest each entry takes the same number of bits, no more than the section's numbers need: positions are told as the distance from the
// header's upTo, expiries and cutoffs as that from the section's least. So an entry takes its 128 bits less those that the order tells (eleven for
// the shard, a dozen more for the home) and what is held beside it, 18 bytes in all for ten million.

// frame tells how a section's entries are written. All of it is in the section.
type frame struct {
	n uint32
	// prefix is how many bits of home the order tells; the others are widths of fields in bits.
	prefix, expiry, pos, at uint8
	// firstTick is the least expiry, modulo ticks; firstAt the least cutoff.
	firstTick uint16
	firstAt   uint64
}

const frameBytes = 4 + 4 + 2 + 8

// entryBits is what a frame's entries take, but for records.
func (f *frame) entryBits(extra bool) uint64 {
	n := uint64(fp.HomeBits) - uint64(f.prefix) + fp.RestBits + fp.TagBits + 64 + causeBits + uint64(f.expiry) + uint64(f.pos)
	if extra {
		n += uint64(f.at) + 1
	}
	return n
}

// causeBits is what a cause takes.
const causeBits = 5

// sectionWriter encodes sections one after the other in the same memory. It isn't safe for concurrent use.
type sectionWriter struct {
	upTo uint64
	// entries holds what all entries have, so that a shard of them stays in the processor's cache, and more what else those with extra words have.
	entries []plainEntry
	more    []moreEntry
	// counts: first bits of home → how many entries, and then where the next one of them goes.
	counts []uint32
	order  []uint32
	bits   bitstream.Writer
	out    []byte
}

type plainEntry struct {
	fp   fp.FP
	meta meta
}

type moreEntry struct {
	extra  uint64
	record []uint64
}

// encode returns the section of shard i of a table. What it returns is good until the next call.
func (w *sectionWriter) encode(t *table.Table, i int, extra bool) []byte {
	w.entries, w.more = w.entries[:0], w.more[:0]
	t.Each(i, func(e table.Entry) {
		w.entries = append(w.entries, plainEntry{e.FP, meta(e.Meta)})
		if extra {
			w.more = append(w.more, moreEntry{e.Extra, e.Record})
		}
	})
	f := w.frame(extra)
	w.sort(f.prefix)
	out := append(w.out[:0], make([]byte, 8)...)
	out = binary.LittleEndian.AppendUint32(out, f.n)
	out = append(out, f.prefix, f.expiry, f.pos, f.at)
	out = binary.LittleEndian.AppendUint16(out, f.firstTick)
	out = binary.LittleEndian.AppendUint64(out, f.firstAt)
	w.bits.Reset(out)
	from := uint32(0)
	for _, to := range w.counts {
		w.bits.Unary(int(to - from))
		from = to
	}
	for _, at := range w.order {
		w.plain(&f, &w.entries[at])
		if extra {
			w.extra(&f, &w.more[at])
		}
	}
	w.out = w.bits.Bytes()
	binary.LittleEndian.PutUint32(w.out, uint32(len(w.out)-8))
	binary.LittleEndian.PutUint32(w.out[4:], crc32.Checksum(w.out[8:], castagnoli()))
	return w.out
}

// frame finds the least numbers and widths that all entries fit into.
func (w *sectionWriter) frame(extra bool) frame {
	f := frame{n: uint32(len(w.entries))}
	if len(w.entries) == 0 {
		return f
	}
	f.prefix = uint8(min(bits.Len(uint(len(w.entries)))-1, fp.HomeBits))
	first, farthest := w.entries[0].meta.expires(), uint64(0)
	for i := range w.entries {
		m := w.entries[i].meta
		if x := m.expires(); first.later(x) == first {
			first = x
		}
		farthest = max(farthest, w.distance(m.pos()))
	}
	// Should they lie all around the circle of ticks, first is any of them, and the distances from it are still right.
	f.firstTick = uint16(first)
	longest := tick(0)
	for i := range w.entries {
		longest = max(longest, (w.entries[i].meta.expires()-first)&tickMask)
	}
	f.expiry = uint8(bits.Len64(uint64(longest)))
	f.pos = uint8(bits.Len64(farthest))
	if !extra {
		return f
	}
	f.firstAt = w.more[0].extra
	lastAt := f.firstAt
	for i := range w.more {
		f.firstAt, lastAt = min(f.firstAt, w.more[i].extra), max(lastAt, w.more[i].extra)
	}
	f.firstAt >>= table.OffsetBits
	f.at = uint8(bits.Len64(lastAt>>table.OffsetBits - f.firstAt))
	return f
}

// distance is how far a position lies before the header's, and 0 if it isn't known.
func (w *sectionWriter) distance(p pos) uint64 {
	if p == 0 {
		return 0
	}
	return (w.upTo+ahead-uint64(p))&posMask + 1
}

// sort orders the entries by the first bits of their home: counts holds for each value where its entries end, and order the entries.
func (w *sectionWriter) sort(prefix uint8) {
	values := 1 << prefix
	w.counts = append(w.counts[:0], make([]uint32, values)...)
	value := func(e *plainEntry) uint64 { return fp.Home(e.fp.First) >> (fp.HomeBits - prefix) }
	for i := range w.entries {
		w.counts[value(&w.entries[i])]++
	}
	sum := uint32(0)
	for i, n := range w.counts {
		w.counts[i] = sum
		sum += n
	}
	w.order = append(w.order[:0], make([]uint32, len(w.entries))...)
	for i := range w.entries {
		v := value(&w.entries[i])
		w.order[w.counts[v]] = uint32(i)
		w.counts[v]++
	}
}

func (w *sectionWriter) plain(f *frame, e *plainEntry) {
	first, m := e.fp.First, e.meta
	w.bits.Put(e.fp.Second, 64)
	low := fp.HomeBits - uint(f.prefix)
	w.bits.Put(fp.Home(first)&(1<<low-1)|(fp.Tag(first)<<fp.RestBits|fp.Rest(first))<<low, low+fp.TagBits+fp.RestBits)
	expires := uint64((m.expires() - tick(f.firstTick)) & tickMask)
	w.bits.Put(uint64(m.cause())|expires<<causeBits|w.distance(m.pos())<<(causeBits+f.expiry), causeBits+uint(f.expiry)+uint(f.pos))
}

func (w *sectionWriter) extra(f *frame, e *moreEntry) {
	w.bits.Put(e.extra>>table.OffsetBits-f.firstAt, uint(f.at))
	if len(e.record) == 0 {
		w.bits.Put(0, 1)
		return
	}
	w.bits.Put(1|uint64(len(e.record))<<1, 1+recordBits)
	for _, word := range e.record {
		w.bits.Put(word, 64)
	}
}

// recordBits is how wide the length of a record is. A record has at most 1 + 4·16 words.
const recordBits = 8

// sectionReader decodes sections one after the other in the same memory. It isn't safe for concurrent use.
type sectionReader struct {
	upTo    uint64
	entries []table.Entry
	counts  []uint32
}

// decode returns the entries of a section, whose checksum has been found right, of shard i. They are good until the next call.
func (r *sectionReader) decode(section []byte, i int, extra bool) ([]table.Entry, error) {
	wrong := fmt.Errorf("%w: a section makes no sense", ErrSnapshotCorrupt)
	r.entries = r.entries[:0]
	if len(section) < frameBytes {
		return nil, wrong
	}
	f := frame{
		n: binary.LittleEndian.Uint32(section), prefix: section[4], expiry: section[5], pos: section[6], at: section[7],
		firstTick: binary.LittleEndian.Uint16(section[8:]), firstAt: binary.LittleEndian.Uint64(section[10:]),
	}
	available := uint64(len(section)-frameBytes) * 8
	if f.prefix > fp.HomeBits || f.expiry > tickBits || f.pos > posBits+1 || f.at > 64-table.OffsetBits || 1<<f.prefix > max(1, uint64(f.n)) ||
		uint64(f.n)*f.entryBits(extra) > available {
		return nil, wrong
	}
	in := bitstream.NewReader(section[frameBytes:])
	if f.n == 0 {
		return nil, nil
	}
	r.counts = append(r.counts[:0], make([]uint32, 1<<f.prefix)...)
	total := 0
	for v := range r.counts {
		n := in.Unary(int(f.n) - total)
		total += n
		r.counts[v] = uint32(n)
	}
	if total != int(f.n) {
		return nil, wrong
	}
	for v, n := range r.counts {
		for range n {
			e := r.entry(&f, in, i, uint64(v), extra)
			if !sound(&e) {
				return nil, wrong
			}
			r.entries = append(r.entries, e)
		}
	}
	if in.Overrun() {
		return nil, wrong
	}
	return r.entries, nil
}

func (r *sectionReader) entry(f *frame, in *bitstream.Reader, shard int, prefix uint64, extra bool) table.Entry {
	var e table.Entry
	e.FP.Second = in.Get(64)
	low := fp.HomeBits - uint(f.prefix)
	first := in.Get(low + fp.TagBits + fp.RestBits)
	home, tagRest := prefix<<low|first&(1<<low-1), first>>low
	e.FP.First = fp.Join(shard, tagRest>>fp.RestBits, home, tagRest&(1<<fp.RestBits-1))
	held := in.Get(causeBits + uint(f.expiry) + uint(f.pos))
	var p pos
	if distance := held >> (causeBits + f.expiry); distance != 0 {
		p = pos(r.upTo+ahead-distance+1) & posMask
	}
	expires := (tick(held>>causeBits)&(1<<f.expiry-1) + tick(f.firstTick)) & tickMask
	e.Meta = uint64(newMeta(cause(held&(1<<causeBits-1)), expires, p))
	if !extra {
		return e
	}
	e.Extra = (in.Get(uint(f.at)) + f.firstAt) << table.OffsetBits
	if in.Get(1) == 1 {
		e.Record = make([]uint64, in.Get(recordBits))
		for i := range e.Record {
			e.Record[i] = in.Get(64)
		}
	}
	return e
}

// sound reports whether an entry is one that a writer may have written. The checksum tells of accidents; this keeps readers of the table safe from
// whoever can compute one.
func sound(e *table.Entry) bool {
	c := meta(e.Meta).cause() &^ explicit
	return fp.Tag(e.FP.First) != 0 && c >= 1 && int(c) <= len(gravest()) && soundRecord(e.Record)
}
