package gateways

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events/tab"
)

func ackOf(conn uint64) Ack {
	return Ack{Tenant: "acme", Event: "01980f3c-7b0a-7c1e-9f57-3a1d2b4c5d6e", Outcome: tab.OutcomeSignedOut, At: time.Now(), Conn: conn}
}

// teller is a gathering that runs, and what it has told.
type teller struct {
	*gathering
	stop func() (left int)

	mu      sync.Mutex
	conns   []uint64
	batches []int
	away    bool
}

func startTeller(t *testing.T, most int) *teller {
	t.Helper()
	r := &teller{gathering: newGathering(most)}
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan int, 1)
	go func() { left <- r.run(ctx, DefaultAcksDelay, r.tell) }()
	r.stop = sync.OnceValue(func() int { cancel(); return <-left })
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *teller) tell(list []Ack) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return 0, errors.New("no connection")
	}
	r.batches = append(r.batches, len(list))
	for _, a := range list {
		r.conns = append(r.conns, a.Conn)
	}
	return len(list), nil
}

func (r *teller) set(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

// sofar returns what was told.
func (r *teller) sofar() (conns []uint64, batches []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.conns), slices.Clone(r.batches)
}

func (r *teller) addMany(n int) (dropped int) {
	for i := range n {
		if !r.add(ackOf(uint64(i + 1))) {
			dropped++
		}
	}
	return dropped
}

func TestAcksAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startTeller(t, DefaultMaxAcks)
		r.addMany(3)
		after(DefaultAcksDelay - time.Millisecond)
		if _, batches := r.sofar(); len(batches) != 0 {
			t.Errorf("told %v before the delay", batches)
		}
		after(time.Millisecond)
		r.addMany(1)
		after(DefaultAcksDelay)
		// Enough for a message don't wait.
		r.addMany(maxAcks)
		synctest.Wait()
		_, batches := r.sofar()
		if want := []int{3, 1, maxAcks}; !slices.Equal(batches, want) {
			t.Errorf("told in batches of %v, want %v", batches, want)
		}
		r.addMany(2)
		synctest.Wait()
		left := r.stop()
		if _, batches := r.sofar(); left != 0 || len(batches) != 4 || batches[3] != 2 {
			t.Errorf("%d are left at the end, and batches are %v", left, batches)
		}
		if r.add(ackOf(1)) {
			t.Error("one more was taken after the end")
		}
	})
}

func TestAcksWithoutAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 1_000
		r := startTeller(t, most)
		r.set(true)
		if dropped := r.addMany(10); dropped != 0 {
			t.Errorf("%d dropped", dropped)
		}
		after(time.Minute)
		// Those that are being told take up room too.
		if dropped := r.addMany(most); dropped != 10 {
			t.Errorf("%d of %d dropped, want 10", dropped, most)
		}
		r.set(false)
		after(time.Second)
		if conns, _ := r.sofar(); len(conns) != most || conns[9] != 10 || conns[10] != 1 {
			t.Errorf("%d told, want %d in their order", len(conns), most)
		}
		if dropped := r.addMany(most); dropped != 0 {
			t.Errorf("%d dropped although there is room", dropped)
		}
		after(time.Second)
		if conns, _ := r.sofar(); len(conns) != 2*most {
			t.Errorf("%d told, want %d", len(conns), 2*most)
		}
	})
}

func TestAcksLeftAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startTeller(t, DefaultMaxAcks)
		r.set(true)
		r.addMany(maxAcks + 1)
		after(time.Second)
		r.addMany(7)
		if left := r.stop(); left != maxAcks+8 {
			t.Errorf("%d left, want %d", left, maxAcks+8)
		}
	})
}

// Whoever adds while others do, none is lost and none comes twice.
func TestAcksByMany(t *testing.T) {
	const each, goroutines = 5_000, 8
	r := startTeller(t, 2_000)
	var adding sync.WaitGroup
	var mu sync.Mutex
	dropped := 0
	for g := range goroutines {
		adding.Go(func() {
			n := 0
			for i := range each {
				if !r.add(ackOf(uint64(g*each + i + 1))) {
					n++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			dropped += n
		})
	}
	adding.Wait()
	if left := r.stop(); left != 0 {
		t.Errorf("%d left", left)
	}
	slices.Sort(r.conns)
	if n := len(slices.Compact(r.conns)); n != len(r.conns) || n+dropped != each*goroutines {
		t.Errorf("%d told, %d of them different, and %d dropped, of %d", len(r.conns), n, dropped, each*goroutines)
	}
}

// Taking one, with its share of being gathered; and writing one as a message tells it.
func BenchmarkAcked(b *testing.B) {
	const id = "0123456789abcdef0123456789abcdef"
	b.Run("take", func(b *testing.B) {
		g := &Gateway{acks: newGathering(DefaultMaxAcks)}
		a := ackOf(1)
		var room []Ack
		b.ReportAllocs()
		for i := 1; b.Loop(); i++ {
			if g.Acked(a); i%maxAcks == 0 {
				list := g.acks.take(room, false)
				g.acks.told(len(list))
				room = list[:0]
			}
		}
		if n := g.counts.acksDropped.Load(); n > 0 {
			b.Errorf("%d dropped", n)
		}
	})
	b.Run("by two, with messages", func(b *testing.B) {
		g := &Gateway{acks: newGathering(DefaultMaxAcks)}
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			g.acks.run(ctx, DefaultAcksDelay, func(list []Ack) (int, error) {
				done, _, err := batches(id, "acks", list, maxMessageBytes, func([]byte) error { return nil })
				return done, err
			})
		}()
		a := ackOf(1)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				g.Acked(a)
			}
		})
		// More come than can be told: most find no room.
		b.ReportMetric(float64(g.counts.acksDropped.Load())/float64(b.N), "dropped/op")
		cancel()
		<-ended
	})
	b.Run("write", func(b *testing.B) {
		list := make([]Ack, maxAcks)
		for i := range list {
			list[i] = ackOf(uint64(i + 1))
		}
		n, bytes := 0, 0
		for b.Loop() {
			_, _, _ = batches(id, "acks", list, maxMessageBytes, func(data []byte) error { n, bytes = n+maxAcks, bytes+len(data); return nil })
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/ack")
		b.ReportMetric(float64(bytes)/float64(n), "B/ack")
	})
}
