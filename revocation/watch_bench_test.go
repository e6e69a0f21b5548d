package revocation

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
)

// perSession is how many watches a session of the benchmarks has: a page's streams, say.
const perSession = 5

// watchedReplica returns a replica that watches n contexts, five of each session.
func watchedReplica(b *testing.B, n int) (*Replica, *sink, [][perSession]context.Context) {
	b.Helper()
	r, s := bare(Config{StalenessBudget: time.Hour})
	b.Cleanup(r.watchOver())
	contexts := make([][perSession]context.Context, n/perSession)
	for i := range contexts {
		watchSession(r, i, &contexts[i])
	}
	return r, s, contexts
}

func watchSession(r *Replica, i int, contexts *[perSession]context.Context) {
	for j := range contexts {
		contexts[j], _, _ = r.Watch(context.Background(), liveSession(i), Require{})
	}
}

// report reports the median, the 99th percentile and the longest.
func report(b *testing.B, what string, took []time.Duration) {
	slices.Sort(took)
	for name, d := range map[string]time.Duration{"p50": took[len(took)/2], "p99": took[len(took)*99/100], "max": took[len(took)-1]} {
		b.ReportMetric(float64(d)/float64(time.Microsecond), name+"-µs"+what)
	}
}

// From when the event has been applied to when each of the five goroutines that wait for the contexts of its session runs, while 100,000
// contexts are watched.
func BenchmarkWatchEndsAfterApplied(b *testing.B) {
	r, sink, contexts := watchedReplica(b, watched)
	var took []time.Duration
	n := 0
	for b.Loop() {
		i := n % len(contexts)
		b.StopTimer()
		if n >= len(contexts) { // all have been ended once: a session anew
			watchSession(r, len(contexts)+n, &contexts[i])
		}
		sid := liveSession(i).ID
		if n >= len(contexts) {
			sid = liveSession(len(contexts) + n).ID
		}
		var ended [perSession]time.Time
		var ready, done sync.WaitGroup
		for j, ctx := range contexts[i] {
			ready.Add(1)
			done.Go(func() {
				ready.Done()
				<-ctx.Done()
				ended[j] = time.Now()
			})
		}
		ready.Wait()
		e := sessionOut(n, sid, time.Now())
		b.StartTimer()
		r.set.Load().apply(e, uint64(n+1), time.Time{}) // as sink.Event does first
		applied := time.Now()
		sink.Event(Place{Position: uint64(n + 1)}, e)
		done.Wait()
		for _, t := range ended {
			took = append(took, t.Sub(applied))
		}
		n++
	}
	report(b, "", took)
}

// A mass logout ends 100,000 contexts, whose goroutines then run. Meanwhile events end one other session each: how long from when an event has
// been applied to that end, and how long the feed's goroutine takes for the mass event.
func BenchmarkMassLogout(b *testing.B) {
	var feed, all, one []time.Duration
	for b.Loop() {
		b.StopTimer()
		r, sink, contexts := watchedReplica(b, watched)
		var waiting sync.WaitGroup
		for i := range contexts {
			for _, ctx := range contexts[i] {
				waiting.Go(func() { <-ctx.Done() })
			}
		}
		others := make([]context.Context, 2000)
		for i := range others {
			others[i], _, _ = r.Watch(context.Background(), Session{Tenant: "other", ID: fmt.Sprint(i), User: "bob", AuthTime: epoch}, Require{})
		}
		runtime.GC()
		ended := make(chan struct{})
		b.StartTimer()
		began := time.Now()
		sink.Event(Place{Position: 1}, tenantOut(events.DefaultTenant, time.Now()))
		feed = append(feed, time.Since(began))
		go func() {
			waiting.Wait()
			close(ended)
		}()
		for i, ctx := range others {
			e := sessionOut(i, fmt.Sprint(i), time.Now())
			e.Tenant = "other"
			applied := time.Now()
			sink.Event(Place{Position: uint64(i + 2)}, e)
			<-ctx.Done()
			one = append(one, time.Since(applied))
			// A feed waits for its messages.
			time.Sleep(100 * time.Microsecond)
			select {
			case <-ended:
			default:
				continue
			}
			break
		}
		<-ended
		all = append(all, time.Since(began))
	}
	report(b, "/feed", feed)
	report(b, "/one-meanwhile", one)
	report(b, "/all", all)
}

// What a watch costs, with its context but for the strings of its session.
func BenchmarkWatchMemory(b *testing.B) {
	for b.Loop() {
		sessions := make([]Session, watched)
		for i := range sessions {
			sessions[i] = liveSession(i)
		}
		r, _ := bare(Config{StalenessBudget: time.Hour})
		ctx, cancel := context.WithCancel(context.Background())
		before := heapBytes()
		for _, s := range sessions {
			c, _, _ := r.Watch(ctx, s, Require{})
			_ = c.Done()
		}
		b.ReportMetric(float64(heapBytes()-before)/watched, "B/watch")
		cancel()
		runtime.KeepAlive(r)
		runtime.KeepAlive(sessions)
	}
}

// An ordinary request: watched, checked, and over again, while 100,000 others stay.
func BenchmarkWatchAndStop(b *testing.B) {
	r, _, _ := watchedReplica(b, watched)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s := liveSession(watched)
		for pb.Next() {
			_, stop, _ := r.Watch(ctx, s, Require{})
			stop()
		}
	})
}
