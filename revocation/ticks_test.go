package revocation

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"
)

// A ledger may keep events for much longer than max age: by default a day longer. A replica that reads it whole then holds expiries from all around
// the circle of ticks, and a snapshot of it must still hold every entry.
func TestSnapshotOfExpiriesAllAroundTheCircle(t *testing.T) {
	for _, tt := range []struct{ maxAge, retention time.Duration }{
		{15 * time.Minute, 24*time.Hour + 20*time.Minute}, // curfew serve with max_age=15m and nothing else set
		{8 * time.Hour, 31 * 24 * time.Hour},              // a service with max age 8 h beside a default ledger
		{time.Hour, 7 * 24 * time.Hour},
	} {
		t.Run(fmt.Sprint(tt.maxAge), func(t *testing.T) {
			keep := lifetimes{maxAge: tt.maxAge, leeway: DefaultLeeway}
			s := newSet(keep, testKey)
			now := time.Now()
			const n = 20_000
			for i := range n {
				at := now.Add(-tt.retention + tt.retention*time.Duration(i+1)/n)
				s.apply(sessionOut(i, fmt.Sprint("s", i), at), uint64(i+1), at)
			}
			s.expire(now) // as a replica has by the time that it saves
			back, _, err := func() (*set, header, error) {
				b := written(t, s, n)
				in := bytes.NewReader(b)
				h, err := readHeader(in)
				if err != nil {
					return nil, h, err
				}
				back := newSet(keep, h.key)
				return back, h, back.read(context.Background(), in, &h)
			}()
			if err != nil {
				t.Fatalf("the snapshot that was just written is refused: %v", err)
			}
			// What the reader's first sweeps do.
			s.expire(now)
			back.expire(now)
			lost, live := 0, 0
			for i := range n {
				at := now.Add(-tt.retention + tt.retention*time.Duration(i+1)/n)
				of := Session{ID: fmt.Sprint("s", i)}
				if _, ok := s.lookup(&of); !ok {
					if now.Sub(at) < tt.maxAge {
						t.Fatal("not in the set itself")
					}
					continue
				}
				if _, ok := back.lookup(&of); !ok {
					lost++
					if now.Sub(at) < tt.maxAge {
						live++
					}
				}
			}
			if lost > 0 || back.digest() != s.digest() {
				t.Errorf("%d of %d revoked sessions are lost in the snapshot, %d of them revoked within max age; digests equal: %t", lost, n, live, back.digest() == s.digest())
			}
		})
	}
}

// Rule 9: what has expired is forgotten within a 64th of max age and leeway, also what a replica reads late.
func TestLongAgoExpiredIsForgotten(t *testing.T) {
	const maxAge = 15 * time.Minute
	now := time.Now()
	r, sink := bare(Config{MaxAge: maxAge})
	const n = 1000
	for i := range n {
		at := now.Add(-24*time.Hour + time.Duration(i)*time.Minute)
		sink.Event(Place{uint64(i + 1), at, at}, sessionOut(i, fmt.Sprint("s", i), at))
	}
	sink.Beat(Place{n + 1, now, now})
	r.forget(now)
	if sessions, _ := r.set.Load().size(); sessions > 0 {
		t.Errorf("%d of %d entries, all expired for hours, are still held after a sweep", sessions, n)
	}
}

// The same with three busy minutes, eleven hours apart, of a stream that was then made anew: whole entries are lost at once, for what doesn't fit runs
// over into the next fingerprint. With positions it runs over into these, and the expiry that is left may lie in the past.
func TestSnapshotOfThreeBursts(t *testing.T) {
	for _, anew := range []bool{false, true} {
		t.Run(fmt.Sprintf("anew=%t", anew), func(t *testing.T) {
			keep := lifetimes{maxAge: 15 * time.Minute, leeway: DefaultLeeway}
			s := newSet(keep, testKey)
			now := time.Now()
			const n = 9000
			for i := range n {
				at := now.Add(time.Duration(i/(n/3)-2) * 10_000 * time.Duration(s.clock.ms) * time.Millisecond)
				s.apply(sessionOut(i, fmt.Sprint("s", i), at), n, at)
			}
			if anew {
				s.rewind()
			}
			in := bytes.NewReader(written(t, s, n))
			h, err := readHeader(in)
			if err != nil {
				t.Fatal(err)
			}
			back := newSet(keep, h.key)
			if err := back.read(context.Background(), in, &h); err != nil {
				t.Fatalf("the snapshot that was just written is refused: %v", err)
			}
			if !anew {
				back.expire(now)
			}
			lost, moved := 0, 0
			for i := 2 * n / 3; i < n; i++ { // those of the last minute
				of := Session{ID: fmt.Sprint("s", i)}
				want, _ := s.lookup(&of)
				if got, ok := back.lookup(&of); !ok {
					lost++
				} else if got != want {
					moved++
				}
			}
			if lost > 0 || moved > 0 {
				t.Errorf("of %d sessions revoked within the last minute %d are lost in the snapshot, and %d have another position", n/3, lost, moved)
			}
		})
	}
}
