package main

import "fmt"

// aims are the rows of the table.
func aims() []aim {
	var all []aim
	all = append(all, missAims()...)
	all = append(all, checkAims()...)
	all = append(all, memoryAims()...)
	return append(all, startAims()...)
}

// missAims compare one lookup with what one would write or pick.
func missAims() []aim {
	miss := func(set, entries, mode string) measurement {
		return of("Miss/entries="+entries+"/set="+set+"/"+mode, "ns/op", 1)
	}
	modes := []struct{ name, text string }{
		{"readers=1", "one reader"}, {"readers=2", "two readers"}, {"readers=2+writer", "two readers beside a writer"},
	}
	var all []aim
	for _, entries := range []string{"10k", "100k", "1M", "10M"} {
		for _, mode := range modes {
			// How many times faster than the map under a lock it has to be.
			times := map[string]float64{
				"10k readers=1": 1, "1M readers=1": 4, "10M readers=1": 2.5, "1M readers=2+writer": 5,
			}[entries+" "+mode.name]
			all = append(all, aim{
				what:    fmt.Sprintf("a miss among %s, %s: times faster than `sync.RWMutex` and a map", entries, mode.text),
				from:    ratio(miss("rwmutex-map", entries, mode.name), miss("curfew", entries, mode.name)),
				atLeast: times, unit: "×",
			})
		}
	}
	for _, mode := range modes {
		all = append(all, aim{
			what: fmt.Sprintf("a miss among 10k, %s: its time in the best's of all", mode.text),
			from: ratio(miss("curfew", "10k", mode.name), least(miss("rwmutex-map", "10k", mode.name), miss("xsync", "10k", mode.name),
				miss("sync.Map", "10k", mode.name), miss("otter", "10k", mode.name))),
			atMost: 1.2, unit: "×",
		})
	}
	for _, peer := range []string{"sync.Map", "xsync", "otter"} {
		for _, entries := range []string{"100k", "1M", "10M"} {
			for _, mode := range modes {
				all = append(all, aim{
					what:    fmt.Sprintf("a miss among %s, %s: times faster than %s", entries, mode.text, peer),
					from:    ratio(miss(peer, entries, mode.name), miss("curfew", entries, mode.name)),
					atLeast: 1, unit: "×",
				})
			}
		}
	}
	return all
}

// checkAims are about a whole Check.
func checkAims() []aim {
	redis := func(set string, askers int) measurement {
		return of(fmt.Sprintf("AgainstRedis/entries=1M/set=%s/askers=%d", set, askers), "ns/op", 1)
	}
	check := func(begun string) measurement { return of("Check/entries=10M/begun="+begun, "ns/op", 1) }
	tail := func(set, unit string) measurement { return of("CheckDuringLoad/set="+set, unit, 1e-3) }
	dram := of("DRAM", "ns/op", 1)
	return []aim{
		{what: "a Check among 1M, one at a time: times faster than `EXISTS` over TCP", from: ratio(redis("redis-tcp", 1), redis("curfew", 1)), atLeast: 100, unit: "×"},
		{what: "a Check among 1M, one at a time: times faster than `EXISTS` over a Unix socket", from: ratio(redis("redis-unix", 1), redis("curfew", 1)), atLeast: 100, unit: "×"},
		{what: "a Check among 1M, sixteen at once: times faster than `EXISTS` over TCP", from: ratio(redis("redis-tcp", 16), redis("curfew", 16)), atLeast: 80, unit: "×"},
		{what: "a Check among 1M, sixteen at once: times faster than `EXISTS` over a Unix socket", from: ratio(redis("redis-unix", 16), redis("curfew", 16)), atLeast: 80, unit: "×"},
		{what: "a Check of five parts among 10M, begun before the cutoffs: in loads from DRAM", from: ratio(check("old"), dram), atMost: 1.2, unit: "×"},
		{what: "a Check of five parts among 10M, begun after the cutoffs: in loads from DRAM", from: ratio(check("recent"), dram), atMost: 1.2, unit: "×"},
		{what: "one load from DRAM that depends on the one before it", from: dram, unit: "ns"},
		{what: "p99.9 of Check while 1M/s are loaded", from: tail("curfew", "p99.9-ns"), atMost: 2, unit: "µs"},
		{what: "p99.9 of a lookup in the map while 1M/s are loaded", from: tail("rwmutex-map", "p99.9-ns"), unit: "µs"},
		{what: "p99.9 of nothing at all: the clock and the machine", from: tail("none", "p99.9-ns"), unit: "µs"},
		{what: "loaded into the set meanwhile", from: of("CheckDuringLoad/set=curfew", "loads/s", 1e-6), unit: "M/s"},
		{what: "loaded into the map meanwhile", from: of("CheckDuringLoad/set=rwmutex-map", "loads/s", 1e-6), unit: "M/s"},
		{what: "p99.99 of one revocation while the set grows to 10M: a shard is filled anew", from: of("Grow/entries=10M", "p99.99-µs", 1), unit: "µs"},
		{what: "p99.999 of one revocation while the set grows to 10M", from: of("Grow/entries=10M", "p99.999-µs", 1), unit: "µs"},
		{what: "the longest that one revocation takes while the set grows to 10M", from: of("Grow/entries=10M", "longest-µs", 1), atMost: 300, unit: "µs"},
	}
}

// memoryAims are about what entries take.
func memoryAims() []aim {
	memory := func(entries, mix, set string) measurement {
		return of("Memory/entries="+entries+"/mix="+mix+"/set="+set, "B/entry", 1)
	}
	gc := func(set string) measurement {
		return of("GC/entries=10M/mix=sessions/rate=100k/set="+set, "%-of-used-CPU", 1)
	}
	var all []aim
	for _, mix := range []string{"sessions", "mixed"} {
		for _, entries := range []string{"10k", "1M", "10M"} {
			most := 0.0
			if entries == "10M" {
				most = 25
			}
			all = append(all,
				aim{what: "heap for each of " + entries + ", " + mix, from: memory(entries, mix, "curfew"), atMost: most, unit: "B"},
				aim{what: "heap for each of " + entries + ", " + mix + ", in the map", from: memory(entries, mix, "rwmutex-map"), unit: "B"})
		}
	}
	return append(all,
		aim{what: "the garbage collector's share of the process's CPU, 10M live, 100k/s written", from: gc("curfew"), atMost: 1, unit: "%"},
		aim{what: "the garbage collector's share with the map", from: gc("rwmutex-map"), unit: "%"})
}

// startAims are about snapshots and starts.
func startAims() []aim {
	var all []aim
	for _, mix := range []string{"sessions", "mixed"} {
		in := ", 10M, " + mix
		write := "SnapshotWrite/entries=10M/mix=" + mix + "/to="
		all = append(all,
			aim{what: "snapshot: size of an entry" + in, from: of(write+"file", "B/entry", 1), atMost: 18, unit: "B"},
			aim{what: "snapshot: write to a file, and sync it" + in, from: of(write+"file", "ns/op", 1e-9), atMost: 0.5, unit: "s"},
			aim{what: "snapshot: write to memory" + in, from: of(write+"memory", "ns/op", 1e-9), unit: "s"},
			aim{what: "snapshot: load from the page cache" + in, from: of("SnapshotLoad/entries=10M/mix="+mix, "ns/op", 1e-9), atMost: 0.6, unit: "s"})
	}
	warm, cold := "ColdStart/entries=10M/mix=mixed/tail=100k", "ColdStart/snapshot=none/tail=1M"
	return append(all,
		aim{what: "start: 10M from a snapshot and a tail of 100k, until synced and fresh", from: of(warm, "ns/op", 1e-9), atMost: 3, unit: "s"},
		aim{what: "start: 10M from a snapshot and a tail of 100k, the most memory that the process had", from: of(warm, "peak-MB", 1), atMost: 400, unit: "MB"},
		aim{what: "start: 1M events without a snapshot, until synced and fresh", from: of(cold, "ns/op", 1e-9), atMost: 6, unit: "s"},
		aim{what: "start: 1M events without a snapshot, the most memory that the process had", from: of(cold, "peak-MB", 1), unit: "MB"})
}
