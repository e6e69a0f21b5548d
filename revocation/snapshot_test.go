package revocation

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation/internal/table"
)

// written returns a snapshot of a set, taken at a position.
func written(tb fataler, s *set, position uint64) []byte {
	tb.Helper()
	var b bytes.Buffer
	h := header{
		key: s.hash.Key(), stream: "s@1", position: position, stored: epoch.UnixNano(), upTo: position, maxAge: s.keep.maxAge.Milliseconds(),
		leeway: s.keep.leeway.Milliseconds(), tick: s.clock.ms, highest: s.highest.Load(),
	}
	h.sessions, h.scopes = s.size()
	if err := s.write(context.Background(), &b, &h); err != nil {
		tb.Fatalf("write: %v", err)
	}
	return b.Bytes()
}

// fataler is what *testing.T and *rapid.T have in common here.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func readBack(tb fataler, b []byte) (*set, header, error) {
	tb.Helper()
	in := bytes.NewReader(b)
	h, err := readHeader(in)
	if err != nil {
		return nil, h, err
	}
	s := newSet(keepDefaults, h.key)
	return s, h, s.read(context.Background(), in, &h)
}

// What was written is what is read: every answer, every position, every expiry, every exception.
func TestSnapshotKeepsEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := genEvents.Draw(t, "events")
		// Positions that are far apart, and where the lowest 30 bits begin anew.
		first := rapid.SampledFrom([]uint64{1, 1 << 29, 1<<30 - 5, 1 << 40}).Draw(t, "first")
		step := rapid.SampledFrom([]uint64{1, 1000}).Draw(t, "step")
		at, set := first, newSet(keepDefaults, testKey)
		for _, e := range list {
			set.apply(e, at, epoch)
			at += step
		}
		back, h, err := readBack(t, written(t, set, at))
		if err != nil {
			t.Fatal(err)
		}
		if back.digest() != set.digest() {
			t.Fatal("another digest")
		}
		sessions, scopes := set.size()
		if n, m := back.size(); n != sessions || m != scopes || h.sessions != n || h.scopes != m {
			t.Fatalf("%d and %d entries, want %d and %d", n, m, sessions, scopes)
		}
		for _, s := range genSessions.Draw(t, "sessions") {
			want, inSet := set.lookup(&s)
			got, inBack := back.lookup(&s)
			if inSet != inBack || got != want {
				t.Fatalf("%+v: %+v, %t; want %+v, %t", s, got, inBack, want, inSet)
			}
			if inSet && (got.pos.position(at) < first || got.pos.position(at) >= at) && got.pos != 0 {
				t.Fatalf("position %d, want one from %d to %d", got.pos.position(at), first, at)
			}
		}
		// Reading on from there is the same as having read all.
		more := genEvents.Draw(t, "tail")
		for _, e := range more {
			set.apply(e, at, epoch)
			back.apply(e, at, epoch)
			at++
		}
		if back.digest() != set.digest() {
			t.Fatal("another digest after the tail")
		}
	})
}

// Merging a snapshot with what is there is applying the events of both.
func TestSnapshotMerges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genEvents.Draw(t, "a"), genEvents.Draw(t, "b")
		set := setOf(a...)
		back, _, err := readBack(t, written(t, setOf(b...), 100))
		if err != nil {
			t.Fatal(err)
		}
		set.merge(back)
		if set.digest() != setOf(append(a, b...)...).digest() {
			t.Fatal("another digest")
		}
		for _, s := range genSessions.Draw(t, "sessions") {
			_, revoked := set.lookup(&s)
			if want, _ := modelOf(append(a, b...)...).scope(s); revoked != (want != "") {
				t.Fatalf("%+v: revoked %t, want by %q", s, revoked, want)
			}
		}
	})
}

// many returns a set with n sessions and users, some with exceptions.
func many(n int) *set {
	s := newSet(keepDefaults, testKey)
	for i := range n {
		s.apply(sessionOut(i, fmt.Sprint("session-", i), epoch), uint64(i+1), epoch)
		e := everywhere(i, epoch.Add(time.Duration(i)*time.Millisecond))
		e.User = fmt.Sprint("user-", i)
		if i%3 == 0 {
			e.Except = []string{fmt.Sprint("mine-", i), "another"}
		}
		s.apply(e, uint64(i+1), epoch)
	}
	return s
}

// Whatever byte is changed, and wherever the snapshot is cut, it is refused, and no reader crashes.
func TestDamagedSnapshotIsRefused(t *testing.T) {
	good := written(t, many(40), 100)
	if _, _, err := readBack(t, good); err != nil {
		t.Fatal(err)
	}
	// Every byte of the header and of some sections, and a sample of the rest: a snapshot has two thousand sections, most of them empty.
	for i := 0; i < len(good); i += stride(i) {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if _, _, err := readBack(t, bad); !errors.Is(err, ErrSnapshotCorrupt) && !errors.Is(err, ErrSnapshotForeign) {
			t.Fatalf("with byte %d changed: %v", i, err)
		}
	}
	for i := 0; i < len(good); i += stride(i) {
		if _, _, err := readBack(t, good[:i]); !errors.Is(err, ErrSnapshotCorrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, _, err := readBack(t, append(bytes.Clone(good), 0)); !errors.Is(err, ErrSnapshotCorrupt) {
		t.Fatalf("with a byte too many: %v", err)
	}
}

func stride(i int) int {
	if i < 300 {
		return 1
	}
	return 997
}

// Whoever can compute a checksum can't crash a reader, or make a table that can't be searched.
func FuzzSection(f *testing.F) {
	for _, extra := range []bool{false, true} {
		s := many(3000)
		w := sectionWriter{upTo: 3000}
		t := s.sessions
		if extra {
			t = s.scopes
		}
		for i := range 3 {
			f.Add(bytes.Clone(w.encode(t, i, extra)[8:]), extra)
		}
	}
	f.Fuzz(func(t *testing.T, section []byte, extra bool) {
		r := sectionReader{upTo: 3000}
		entries, err := r.decode(section, 5, extra)
		if err != nil {
			if !errors.Is(err, ErrSnapshotCorrupt) {
				t.Errorf("decode = %v", err)
			}
			return
		}
		table := table.New(extra)
		table.Fill(5, entries)
		for _, e := range entries {
			if !extra {
				if _, ok := table.Find(e.FP); !ok {
					t.Fatalf("%x isn't found", e.FP)
				}
				continue
			}
			_, _, record, ok := table.FindExtra(e.FP)
			if !ok {
				t.Fatalf("%x isn't found", e.FP)
			}
			if record != nil {
				exception(record, e.FP)
				spared(record, excepted(record)-1)
			}
		}
	})
}

// What a version couldn't read is in none of its snapshots. One that may be able to read it must not begin from them.
func TestSnapshotOfAnotherCatalogue(t *testing.T) {
	for _, skipped := range []bool{false, true} {
		h := header{key: testKey, stream: "s@1", position: 5, skipped: skipped}
		b := h.encode()
		if got, err := readHeader(bytes.NewReader(b)); err != nil || got.skipped != skipped {
			t.Errorf("skipped %t: %+v, %v", skipped, got, err)
		}
		binary.LittleEndian.PutUint32(b[12:], catalogue+1)
		binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], castagnoli()))
		if _, err := readHeader(bytes.NewReader(b)); errors.Is(err, ErrSnapshotForeign) != skipped {
			t.Errorf("skipped %t, another catalogue: %v", skipped, err)
		}
	}
}

func TestOnlyWhatAnotherVersionMayReadCounts(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{events.ErrUnknownType, true}, {fmt.Errorf("x: %w", events.ErrUnknownVersion), true}, {&events.InvalidError{}, true},
		{errors.New("malformed"), false},
	} {
		r, sink := bare(Config{})
		sink.Skip(Place{Position: 1}, tt.err)
		if r.leftOut.Load() != tt.want {
			t.Errorf("%v counts: %t, want %t", tt.err, r.leftOut.Load(), tt.want)
		}
	}
}

func TestSnapshotOfNothing(t *testing.T) {
	back, _, err := readBack(t, written(t, newSet(keepDefaults, testKey), 1))
	if err != nil || !back.empty() {
		t.Errorf("%v", err)
	}
}
