package revocation

import (
	"fmt"
	"testing"
	"time"
)

func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		r, sink := bare(Config{StalenessBudget: time.Hour})
		for i := range n {
			r.set.Load().apply(sessionOut(i, fmt.Sprintf("session-%d", i), epoch), uint64(i+1), time.Time{})
		}
		sink.Event(Place{Position: uint64(n + 1)}, everywhere(n+1, epoch, "kept"))
		for _, c := range []struct {
			name string
			s    Session
			want State
		}{
			{"miss", Session{ID: "another", User: "bob", Device: "d", Client: "c", AuthTime: time.Now()}, Active},
			{"hit", Session{ID: "session-4711", User: "bob", AuthTime: time.Now()}, Revoked},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if d := r.Check(c.s); d.State != c.want {
						b.Fatalf("%v, want %v", d.State, c.want)
					}
				}
			})
		}
	}
}
