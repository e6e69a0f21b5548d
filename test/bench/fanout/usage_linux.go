package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// spent returns the CPU that this process has used until now, and nothing else: it costs next to none itself.
func spent() (usage, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return usage{}, fmt.Errorf("read this process's CPU: %w", err)
	}
	return usage{User: time.Duration(r.Utime.Nano()), System: time.Duration(r.Stime.Nano())}, nil
}

// held returns what this process holds. Counting thousands of open files takes tens of milliseconds.
func held() (usage, error) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	rss, err := kilobytes("/proc/self/status", "VmRSS:")
	if err != nil {
		return usage{}, err
	}
	files, err := os.ReadDir("/proc/self/fd")
	return usage{
		RSS: rss << 10, Heap: int64(samples[0].Value.Uint64()), Stack: int64(samples[1].Value.Uint64()),
		Goroutines: runtime.NumGoroutine(), Files: len(files),
	}, err
}

// slab returns the bytes of the kernel's slabs, of which sockets are made. They are the whole machine's.
func slab() (int64, error) {
	kb, err := kilobytes("/proc/meminfo", "Slab:")
	return kb << 10, err
}

// kilobytes reads a line of a file such as /proc/meminfo.
func kilobytes(path, name string) (int64, error) {
	b, err := os.ReadFile(path) //nolint:gosec // one of two files
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		if fields := bytes.Fields(line); len(fields) >= 2 && string(fields[0]) == name {
			return strconv.ParseInt(string(fields[1]), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no line %s", path, name)
}

// raiseFiles lets this process open as many files as it may.
func raiseFiles() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}

// mostFiles returns how many files one process may open.
func mostFiles() (int, error) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return int(min(limit.Max, 1<<31-1)), err
}
