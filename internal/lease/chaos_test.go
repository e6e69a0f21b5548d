package lease

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wild is a register behind a network that delays, loses and reorders, and that may answer with what was there a moment ago.
type wild struct {
	direct
	mu  sync.Mutex
	rnd *rand.Rand
	// calm is true once nothing goes wrong any more, and away while nothing arrives.
	calm, away bool
	// old is an entry that was read before.
	old entry
}

func (w *wild) change(fn func(*wild)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn(w)
}

// fate is what becomes of one message: after how long it arrives, if it does.
func (w *wild) fate() (delay time.Duration, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delay = time.Duration(w.rnd.Int64N(int64(ttl / 50)))
	switch {
	case w.calm:
		return delay, false
	case w.away:
		return delay, true
	}
	switch w.rnd.IntN(10) {
	case 0:
		return delay, true
	case 1, 2: // arrives long after anybody waits for it
		return time.Duration(w.rnd.Int64N(int64(3 * ttl))), false
	}
	return delay, false
}

// travel calls fn when the message has arrived, if it does, and waits for the answer.
func travel[T any](ctx context.Context, w *wild, fn func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	answers := make(chan answer, 1)
	there, lost := w.fate()
	back, unheard := w.fate()
	if !lost {
		go func() {
			time.Sleep(there)
			v, err := fn()
			if time.Sleep(back); !unheard {
				answers <- answer{v, err}
			}
		}()
	}
	select {
	case a := <-answers:
		return a.v, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func (w *wild) read(ctx context.Context) (entry, error) {
	return travel(ctx, w, func() (entry, error) {
		e, err := w.direct.read(ctx)
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.calm && w.rnd.IntN(5) == 0 {
			return w.old, nil
		}
		w.old = e
		return e, err
	})
}

func (w *wild) write(ctx context.Context, value []byte, after uint64) (uint64, error) {
	return travel(ctx, w, func() (uint64, error) { return w.direct.write(ctx, value, after) })
}

// However the network misbehaves, no two hold the lease at once; and once it doesn't, somebody does.
func TestNoTwoHoldersWhateverTheNetworkDoes(t *testing.T) {
	tenures := 0
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBook(t)
				m := &memory{}
				rnd := rand.New(rand.NewPCG(seed, 1))
				var processes []*process
				var links []*wild
				for i := range 4 {
					w := &wild{direct: newDirect(m), rnd: rand.New(rand.NewPCG(seed, uint64(i)+2))}
					// TTLs differ, as while a fleet is given another configuration.
					cfg := Config{TTL: ttl / time.Duration(1+rnd.IntN(3))}
					links, processes = append(links, w), append(processes, start(w, cfg, b.while(fmt.Sprint(i))))
				}
				for range 40 {
					time.Sleep(time.Duration(rnd.Int64N(int64(2 * ttl))))
					// Some restart, and some are cut off or come back.
					i := rnd.IntN(len(processes))
					if rnd.IntN(3) == 0 {
						processes[i].stop(t)
						processes[i] = start(links[i], Config{TTL: ttl}, b.while(fmt.Sprint(i)))
						continue
					}
					links[i].change(func(w *wild) { w.away = !w.away })
				}
				for _, w := range links {
					w.change(func(w *wild) { w.calm = true })
				}
				// What was on its way for long arrives, and then somebody takes it.
				after(6 * ttl)
				if got := len(b.holders()); got != 1 {
					t.Errorf("%d hold the lease in calm, want 1", got)
				}
				for _, p := range processes {
					p.stop(t)
				}
				after(4 * ttl) // no message is on its way any more
				for _, n := range b.tenures {
					tenures += n
				}
			})
		})
	}
	if tenures < 200 {
		t.Errorf("%d tenures in all: the test sees too little", tenures)
	}
}
