package revocation

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// missSizes are the numbers of entries of BenchmarkMiss.
var missSizes = []struct {
	name string
	n    int
}{{"10k", 10_000}, {"100k", 100_000}, {"1M", 1_000_000}, {"10M", 10_000_000}}

// What the writer does beside the readers: so many sessions a second are revoked, and so many forgotten, each kept for what writerKeeps says.
const (
	writerRate  = 10_000
	writerKeeps = 2 * time.Second
)

// BenchmarkMiss asks for one session by its id, of whom 99.9 % aren't there. ns/op is the time that passes for each answer, whoever of the readers gets
// it: two readers that don't hinder each other have half of one's.
//
// The writer, beside two readers, revokes 10,000 sessions a second and forgets as many. Peers are told whom to forget; our set looks for them, once a
// second, which is sixty times as often as a replica does by default.
func BenchmarkMiss(b *testing.B) {
	for _, size := range missSizes {
		b.Run("entries="+size.name, func(b *testing.B) {
			for _, maker := range peers {
				b.Run("set="+maker.name, func(b *testing.B) {
					p := maker.make(size.n)
					defer p.close()
					until := time.Now().Add(time.Hour)
					for i := range size.n {
						p.add(member(uint64(i)), until)
					}
					for _, mode := range []struct {
						name    string
						readers int
						writes  bool
						// lasts is how long one measurement takes: with a writer it has to see at least one sweep.
						lasts time.Duration
					}{
						{"readers=1", 1, false, 300 * time.Millisecond},
						{"readers=2", 2, false, 300 * time.Millisecond},
						{"readers=2+writer", 2, true, time.Second},
					} {
						b.Run(mode.name, func(b *testing.B) {
							runtime.GC()
							m := missing{peer: p, n: size.n, readers: mode.readers, writes: mode.writes}
							for b.Loop() {
								m.run(b, mode.lasts)
							}
							m.report(b)
						})
					}
				})
				// Before the next one is made.
				runtime.GC()
			}
		})
	}
}

// missing is one measurement of BenchmarkMiss.
type missing struct {
	peer    peer
	n       int
	readers int
	writes  bool

	passed          time.Duration
	lookups, writer int
}

func (m *missing) run(b *testing.B, lasts time.Duration) {
	var w *churn
	if m.writes {
		w = newChurn(m.peer)
		defer w.clear()
	}
	var lookups, wrong, writes atomic.Int64
	var stop atomic.Bool
	var working sync.WaitGroup
	began := time.Now()
	for r := range m.readers {
		working.Go(func() {
			q := newProber(m.n, uint64(r+1))
			found, asked := 0, 0
			for !stop.Load() {
				for range 1024 {
					if m.peer.has(q.next()) {
						found++
					}
				}
				asked += 1024
				if m.writes {
					// As requests do, which wait for the network: or the writer would have to wait for a time slice. Beside an idle
					// processor it would move the reader there, away from its caches.
					runtime.Gosched()
				}
			}
			lookups.Add(int64(asked))
			wrong.Add(int64(found - q.members))
		})
	}
	if w != nil {
		working.Go(func() { writes.Store(int64(w.run(&stop))) })
	}
	<-time.After(lasts)
	stop.Store(true)
	working.Wait()
	m.passed += time.Since(began)
	m.lookups += int(lookups.Load())
	m.writer += int(writes.Load())
	if n := wrong.Load(); n != 0 {
		b.Fatalf("%d answers too many are yes", n)
	}
}

func (m *missing) report(b *testing.B) {
	b.ReportMetric(float64(m.passed.Nanoseconds())/float64(m.lookups), "ns/op")
	if m.writes {
		b.ReportMetric(float64(m.writer)/m.passed.Seconds(), "writes/s")
	}
}

// churn is the writer: a window of sessions that moves on at writerRate.
type churn struct {
	peer peer
	// oldest and next are the ends of the window.
	oldest, next uint64
}

// newChurn returns a churn whose window is full: as it is after running for long.
func newChurn(p peer) *churn {
	c := &churn{peer: p, oldest: added, next: added}
	now := time.Now()
	for i := range uint64(writerRate * writerKeeps / time.Second) {
		p.add(member(c.next), now.Add(time.Duration(i)*time.Second/writerRate))
		c.next++
	}
	return c
}

// run moves the window until stop, and returns by how much.
func (c *churn) run(stop *atomic.Bool) (n int) {
	began := time.Now()
	sweep := began.Add(time.Second / 2)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for now := range tick.C {
		if stop.Load() {
			return n
		}
		for due := int(now.Sub(began) * writerRate / time.Second); n < due; n++ {
			c.peer.add(member(c.next), now.Add(writerKeeps))
			c.peer.forget(member(c.oldest))
			c.next++
			c.oldest++
		}
		if now.After(sweep) {
			c.peer.sweep(now)
			sweep = sweep.Add(time.Second)
		}
	}
	return n
}

// clear takes the window out again.
func (c *churn) clear() {
	for ; c.oldest < c.next; c.oldest++ {
		c.peer.forget(member(c.oldest))
	}
	c.peer.sweep(time.Now().Add(2 * writerKeeps))
}
