package revocation

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/curfewhq/curfew/events"
)

// watched is how many things the benchmarks hold.
const watched = 100_000

// liveSession returns one of the sessions of the benchmarks: each user has five devices with a session each, and half of all use one client.
func liveSession(i int) Session {
	return Session{
		ID: fmt.Sprintf("session-%d", i), User: fmt.Sprintf("user-%d", i/5), Device: fmt.Sprintf("device-%d", i),
		Client: fmt.Sprintf("client-%d", i%2*(i%10)), AuthTime: epoch,
	}
}

func crowd(n int) *Live[int] {
	live := &Live[int]{}
	for i := range n {
		live.Add(liveSession(i), i)
	}
	return live
}

// An ordinary request is added and removed again, while 100,000 others stay.
func BenchmarkLiveAddRemove(b *testing.B) {
	live := crowd(watched)
	var n atomic.Int64
	b.ResetTimer()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		s := liveSession(watched + int(n.Add(1)))
		for pb.Next() {
			live.Remove(live.Add(s, 0))
		}
	})
}

func BenchmarkLiveAffected(b *testing.B) {
	live := crowd(watched)
	for _, c := range []struct {
		name  string
		event events.Event
		want  int
	}{
		{"session", sessionOut(1, "session-4711", epoch), 1},
		{"nobody", sessionOut(1, "another", epoch), 0},
		{"user", &events.UserLoggedOutEverywhere{Common: common(1, epoch), User: "user-4711", Cutoff: epoch}, 5},
		{"device", &events.DeviceLoggedOut{Common: common(1, epoch), Device: "device-4711", Cutoff: epoch}, 1},
		{"client of 10,000", &events.ClientLoggedOut{Common: common(1, epoch), Client: "client-9", Cutoff: epoch}, watched / 10},
		{"tenant of 100,000", tenantOut(events.DefaultTenant, epoch), watched},
		{"another tenant", tenantOut("another", epoch), 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := len(live.Affected(c.event)); got != c.want {
					b.Fatalf("%d, want %d", got, c.want)
				}
			}
		})
	}
}

// What an entry costs, but for the strings of its session.
func BenchmarkLiveMemory(b *testing.B) {
	for b.Loop() {
		sessions := make([]Session, watched)
		for i := range sessions {
			sessions[i] = liveSession(i)
		}
		before := heapBytes()
		live := &Live[int]{}
		for i, s := range sessions {
			live.Add(s, i)
		}
		b.ReportMetric(float64(heapBytes()-before)/watched, "B/entry")
		runtime.KeepAlive(live)
		runtime.KeepAlive(sessions)
	}
}

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
