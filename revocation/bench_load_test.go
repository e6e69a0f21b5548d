package revocation

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
)

const (
	// loadRate is how many sessions a second a bulk load revokes.
	loadRate = 1_000_000
	// loadLasts is for how long it does.
	loadLasts = 4 * time.Second
)

// BenchmarkCheckDuringLoad asks one session after the other, and looks at the clock around each, while another goroutine loads a million revocations a second
// into what was empty. For our replica that is a whole Check with five parts; for the map it is one lookup.
//
// set=none is what the clock costs, and what the machine does to a goroutine that only looks at it: it is in every figure of the others. A peer that
// can't take a million a second takes what it can (loads/s).
func BenchmarkCheckDuringLoad(b *testing.B) {
	for _, of := range []struct {
		name string
		make func() loaded
	}{
		{"curfew", newLoadedReplica}, {"rwmutex-map", newLoadedMap}, {"none", func() loaded { return loaded{func() {}, func(uint64) {}} }},
	} {
		b.Run("set="+of.name, func(b *testing.B) {
			times := &latencies{}
			loads := 0
			for b.Loop() {
				runtime.GC()
				loads += load(of.make(), times)
			}
			b.ReportMetric(0, "ns/op") // the time of a load is given
			for _, q := range []struct {
				name string
				at   float64
			}{{"p50-ns", 0.5}, {"p99-ns", 0.99}, {"p99.9-ns", 0.999}, {"max-ns", 1}} {
				b.ReportMetric(float64(times.quantile(q.at).Nanoseconds()), q.name)
			}
			b.ReportMetric(float64(loads)/loadLasts.Seconds()/float64(b.N), "loads/s")
			runtime.GC()
		})
	}
}

// loaded is what is asked, by one goroutine, while another adds session number i.
type loaded struct {
	ask func()
	add func(i uint64)
}

func newLoadedReplica() loaded {
	r, _ := bare(Config{StalenessBudget: time.Hour})
	now := time.Now()
	w := newWalker(now.Add(-time.Minute))
	e := events.SessionRevoked{Common: events.Common{Tenant: events.DefaultTenant, Time: now, Reason: events.ReasonUserLogout}}
	set := r.set.Load()
	return loaded{
		func() { r.Check(*w.next()) },
		func(i uint64) {
			e.Session = member(i)
			set.apply(&e, i+1, now)
		},
	}
}

func newLoadedMap() loaded {
	p, q, until := newMapPeer(0), newProber(1, 1), time.Now()
	return loaded{
		func() { p.has(q.next()) },
		func(i uint64) { p.add(member(i), until) },
	}
}

// load loads for loadLasts, notes how long it took to ask meanwhile, and returns how many were loaded.
func load(l loaded, times *latencies) int {
	var done atomic.Bool
	var loading sync.WaitGroup
	loads := uint64(0)
	began := time.Now()
	loading.Go(func() {
		defer done.Store(true)
		tick := time.NewTicker(200 * time.Microsecond)
		defer tick.Stop()
		for range tick.C {
			for passed := time.Since(began); loads < uint64(passed*loadRate/time.Second); loads++ {
				if loads%256 == 0 && time.Since(began) >= loadLasts {
					return
				}
				l.add(loads)
			}
			if time.Since(began) >= loadLasts {
				return
			}
		}
	})
	for !done.Load() {
		before := time.Since(began)
		l.ask()
		times.add(time.Since(began) - before)
	}
	loading.Wait()
	return int(loads)
}

// BenchmarkGrow revokes one session after the other until there are ten million, and tells the longest that the last million took: while a shard is filled
// anew, which is what holds up the writer. Readers never wait for it.
//
// A time during which the scheduler took the thread off its processor is left out, and counted.
func BenchmarkGrow(b *testing.B) {
	for _, size := range missSizes[1:] {
		b.Run("entries="+size.name, func(b *testing.B) {
			for b.Loop() {
				grow(b, size.n)
			}
			runtime.GC()
		})
	}
}

func grow(b *testing.B, n int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := newSet(lifetimes{maxAge: DefaultMaxAge, leeway: DefaultLeeway}, [16]byte{1})
	now := time.Now()
	x, _ := s.expiry(millis(now.Add(time.Hour)), span{millis(now), millis(now)})
	m := newMeta(causeOf(events.ReasonUserLogout)|explicit, x, 1)
	// Every shard grows by a sixteenth at least, so it is filled anew once or twice in the last fifth.
	timed := n - n/5
	for i := range timed {
		s.addSession(events.DefaultTenant, member(uint64(i)), m)
	}
	const batch = 256
	times := &latencies{}
	interrupted := 0
	began := time.Now()
	for i := timed; i < n; i += batch {
		var took [batch]time.Duration
		before := interruptions()
		for k := range took {
			at := time.Since(began)
			s.addSession(events.DefaultTenant, member(uint64(i+k)), m)
			took[k] = time.Since(began) - at
		}
		if interruptions() != before {
			interrupted++
			continue
		}
		for _, t := range took {
			times.add(t)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(times.quantile(0.5).Nanoseconds()), "p50-ns")
	// About one in ten thousand fills a shard anew, and of the longest some are the machine's: see the longest of CheckDuringLoad/set=none.
	b.ReportMetric(float64(times.quantile(0.9999).Nanoseconds())/1e3, "p99.99-µs")
	b.ReportMetric(float64(times.quantile(0.99999).Nanoseconds())/1e3, "p99.999-µs")
	b.ReportMetric(float64(times.quantile(1).Nanoseconds())/1e3, "longest-µs")
	b.ReportMetric(float64(interrupted), "interrupted")
}
