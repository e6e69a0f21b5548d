package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// memory prints what an entry takes: of the heap, all included, and of the memory that the process has. A process measures once.
func memory(ctx context.Context, c *call) error {
	var r revocations
	var set kind
	r.bind(c.flags)
	set.bind(c.flags)
	if err := c.parse(); err != nil {
		return err
	}
	heapBefore, residentBefore := heap(), resident("VmRSS")
	began := time.Now()
	h, err := set.hold(ctx, r)
	if err != nil {
		return err
	}
	filled := time.Since(began)
	heapAfter := heap()
	debug.FreeOSMemory()
	residentAfter := resident("VmRSS")
	n := float64(r.n)
	figures := []figure{{float64(heapAfter-heapBefore) / n, "B/entry"}, {float64(filled.Nanoseconds()) / n, "fill-ns/entry"}}
	if residentAfter > 0 {
		figures = append(figures, figure{float64(residentAfter-residentBefore) / n, "resident-B/entry"})
	}
	c.print("Memory/entries="+r.n.String()+"/mix="+string(r.mix)+"/set="+string(set), figures...)
	h.close()
	return nil
}

// heap returns the bytes on the heap that are in use. Twice, for what is freed by a finalizer or a pool.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// resident returns a line of Linux's account of this process in bytes: VmRSS, or VmHWM, the most that there ever was. Elsewhere it returns 0.
func resident(line string) int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for text := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(text, line+":"); ok {
			kB, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kB << 10
		}
	}
	return 0
}
