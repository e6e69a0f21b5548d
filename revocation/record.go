package revocation

import (
	"math/bits"
	"slices"

	"github.com/curfewhq/curfew/events"
	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
	"github.com/curfewhq/curfew/revocation/internal/table"
)

// Cutoffs lie in a table like this: the top one's time in the entry's extra word, its cause and position in meta, with the expiry of all. What it
// excepts is the entry's record:
//
//	| which of them are spared by another cutoff, a bit each | how many |
//	| fingerprint of the session, two words | …                        one for each
//	| time, cause | position | …                                        one for each that is spared
//
// Times are in Unix milliseconds, 42 bits of them: from 1970 to 2109.
const (
	latestAt   = 1<<(64-table.OffsetBits) - 1
	sparedFrom = 8 // the lowest bit of word 0 that says who is spared
)

func packAt(at int64) uint64 { return uint64(min(max(at, 0), latestAt)) << table.OffsetBits }

func unpackAt(word uint64) int64 { return int64(word >> table.OffsetBits) }

// decodeCutoffs returns what an entry says.
func decodeCutoffs(e *table.Entry) cutoffs {
	m := meta(e.Meta)
	cs := cutoffs{top: cutoff{unpackAt(e.Extra), m.cause(), m.pos()}, expires: m.expires()}
	if len(e.Record) == 0 {
		return cs
	}
	n := excepted(e.Record)
	cs.except, cs.spared = make([]fp.FP, n), make([]cutoff, n)
	for i := range n {
		cs.except[i] = fp.FP{First: e.Record[1+2*i], Second: e.Record[2+2*i]}
		cs.spared[i] = spared(e.Record, i)
	}
	return cs
}

func excepted(record []uint64) int { return int(record[0] & (1<<sparedFrom - 1)) }

// spared returns the other cutoff of exception i.
func spared(record []uint64, i int) cutoff {
	all := record[0] >> sparedFrom
	if all>>i&1 == 0 {
		return cutoff{}
	}
	at := 1 + 2*excepted(record) + 2*bits.OnesCount64(all&(1<<i-1))
	return cutoff{unpackAt(record[at]), cause(record[at] & (1<<table.OffsetBits - 1)), pos(record[at+1])}
}

// exception returns which exception a session is, or -1.
func exception(record []uint64, sid fp.FP) int {
	for i := range excepted(record) {
		if record[1+2*i] == sid.First && record[2+2*i] == sid.Second {
			return i
		}
	}
	return -1
}

// encode puts what is said into an entry, and leaves its record as it is if that says the same.
func (cs *cutoffs) encode(e *table.Entry) {
	e.Meta = uint64(newMeta(cs.top.cause, cs.expires, cs.top.pos))
	e.Extra = packAt(cs.top.at)
	record := cs.record()
	if !slices.Equal(record, e.Record) {
		e.Record = record
	}
}

func (cs *cutoffs) record() []uint64 {
	if len(cs.except) == 0 {
		return nil
	}
	record := make([]uint64, 1, 1+4*len(cs.except))
	record[0] = uint64(len(cs.except))
	for _, sid := range cs.except {
		record = append(record, sid.First, sid.Second)
	}
	for i, c := range cs.spared {
		if c.exists() {
			record[0] |= 1 << (sparedFrom + i)
			record = append(record, packAt(c.at)|uint64(c.cause), uint64(c.pos))
		}
	}
	return record
}

// soundRecord reports whether a record has the form that record gives it; nil has.
func soundRecord(record []uint64) bool {
	if record == nil {
		return true
	}
	if len(record) == 0 {
		return false
	}
	n, all := excepted(record), record[0]>>sparedFrom
	return n >= 1 && n <= events.MaxExcept && all>>n == 0 && len(record) == 1+2*n+2*bits.OnesCount64(all)
}
