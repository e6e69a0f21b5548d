package revocation

import (
	"container/heap"
	"context"
	"sync"
	"sync/atomic"
)

// MaxWaiters is how many calls of [Replica.WaitFor] one replica lets wait at once. Who waits for a publish that was answered does so for milliseconds,
// so that there are rarely as many; whoever names positions that never come could make more without end.
const MaxWaiters = 4096

// waiters wakes those who wait for a position. The zero value is ready to use.
//
// Anybody may name a position, as far off as they like, and the feed's goroutine comes by with every message. It does nothing for those whose time hasn't
// come, not even wait for their lock. When there are too many, whoever waits for the farthest position gives way: that of a publish which was answered lies
// in the stream, and so before all that are made up to never come.
type waiters struct {
	// lowest is the lowest position that somebody waits for; 0 while nobody does, for position 0 is always reached. It is written with mu held.
	lowest atomic.Uint64

	mu sync.Mutex
	// nearest and farthest hold the same waiters: with the lowest position first, and with the highest.
	nearest, farthest waitHeap
}

// waiter is one who waits.
type waiter struct {
	want uint64
	// over is closed when the waiter has been taken out: because the position is reached, or, with crowded set before, to make room.
	over    chan struct{}
	crowded bool
	// at: order → where the waiter is in the heap of that order; -1 if it isn't.
	at [2]int
}

// wait blocks until reached returns true for pos, ctx ends, done is closed, or more than MaxWaiters wait for less. reached is asked again after joining,
// so that no wake-up falls between:
//
//  1. reached is false; 2. the position moves, and wake finds nobody; 3. we join, and wait for ever.
//
// Either wake sees lowest as joining has left it, or it looked before that; then the position had moved, and asking again shows it.
func (w *waiters) wait(ctx context.Context, pos uint64, reached func() bool, done <-chan struct{}) error {
	if reached() {
		return nil
	}
	me := w.join(pos)
	if reached() {
		w.leave(me)
		return nil
	}
	select {
	case <-me.over:
		if me.crowded && !reached() {
			return ErrTooManyWaiters
		}
		return nil
	case <-ctx.Done():
		w.leave(me)
		return context.Cause(ctx)
	case <-done:
		w.leave(me)
		return ErrClosed
	}
}

// join puts somebody in who waits for pos. If there are too many then, whoever waits for the most is taken out, who may be the same.
func (w *waiters) join(pos uint64) *waiter {
	me := &waiter{want: pos, over: make(chan struct{}), at: [2]int{-1, -1}}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.farthest.order = farthest
	if w.farthest.Len() == MaxWaiters {
		// Of equals those who came first stay.
		out := me
		if last := w.farthest.all[0]; last.want > pos {
			out = last
			w.remove(out)
		}
		out.crowded = true
		close(out.over)
		if out == me {
			return me
		}
	}
	heap.Push(&w.nearest, me)
	heap.Push(&w.farthest, me)
	w.note()
	return me
}

// leave takes somebody out who may have been taken out already.
func (w *waiters) leave(me *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if me.at[nearest] >= 0 {
		w.remove(me)
		w.note()
	}
}

// wake tells everyone who waits for a position up to pos. It takes no lock while nobody does.
func (w *waiters) wake(pos uint64) {
	if lowest := w.lowest.Load(); lowest == 0 || lowest > pos {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.nearest.Len() > 0 && w.nearest.all[0].want <= pos {
		first := w.nearest.all[0]
		w.remove(first)
		close(first.over)
	}
	w.note()
}

// remove takes out somebody who is in. mu is held.
func (w *waiters) remove(out *waiter) {
	heap.Remove(&w.nearest, out.at[nearest])
	heap.Remove(&w.farthest, out.at[farthest])
}

// note keeps lowest. mu is held.
func (w *waiters) note() {
	if w.nearest.Len() == 0 {
		w.lowest.Store(0)
		return
	}
	w.lowest.Store(w.nearest.all[0].want)
}

// The orders of waitHeap.
const (
	nearest = iota
	farthest
)

// waitHeap is a [heap.Interface] of waiters in one of the orders.
type waitHeap struct {
	order int
	all   []*waiter
}

func (h *waitHeap) Len() int { return len(h.all) }

func (h *waitHeap) Less(i, j int) bool {
	if h.order == farthest {
		i, j = j, i
	}
	return h.all[i].want < h.all[j].want
}

func (h *waitHeap) Swap(i, j int) {
	h.all[i], h.all[j] = h.all[j], h.all[i]
	h.all[i].at[h.order], h.all[j].at[h.order] = i, j
}

func (h *waitHeap) Push(x any) {
	me := x.(*waiter)
	me.at[h.order] = len(h.all)
	h.all = append(h.all, me)
}

func (h *waitHeap) Pop() any {
	n := len(h.all) - 1
	out := h.all[n]
	h.all[n], h.all = nil, h.all[:n]
	out.at[h.order] = -1
	return out
}
