package main

// rows are the rows of the table, in its order.
func rows() []row {
	var all []row
	all = append(all, memoryRows("memory", "a tab", 4500)...)
	all = append(all,
		row{name: "memory/kernel", what: "the kernel's memory for a socket, at either end", unit: "B"},
		row{name: "memory/handshakes", what: "tabs that connect to an empty gateway", unit: "/s"})
	all = append(all, memoryRows("tls", "a tab over TLS 1.3", 0)...)
	all = append(all,
		row{name: "tls/handshakes", what: "tabs that connect over TLS 1.3, with a client in Go beside", unit: "/s"},
		row{name: "tls/cpu", what: "the gateway's CPU for a tab that connects over TLS 1.3", unit: "ms"})
	all = append(all, toldRows()...)
	return append(all, stormRows()...)
}

func memoryRows(name, tab string, most float64) []row {
	return []row{
		{name: name + "/natural", what: tab + ": resident memory, nothing forced", atMost: most, unit: "B"},
		{name: name + "/settled", what: tab + ": resident memory once the garbage is given back", unit: "B"},
		{name: name + "/heap", what: tab + ": heap without garbage", unit: "B"},
		{name: name + "/stack", what: tab + ": stacks", unit: "B"},
		{name: name + "/goroutines", what: tab + ": goroutines"},
	}
}

// toldRows are about tabs that are told.
func toldRows() []row {
	return []row{
		{name: "targeted/applied/p50", what: "one user's five tabs: from applied to the last one's notice, p50", atMost: 0.6, unit: "ms"},
		{name: "targeted/applied/p99", what: "one user's five tabs: from applied to the last one's notice, p99", atMost: 2.5, unit: "ms"},
		{name: "targeted/posted/p50", what: "one user's five tabs: from before the call to the last one's notice, p50", unit: "ms"},
		{name: "targeted/posted/p99", what: "one user's five tabs: from before the call to the last one's notice, p99", unit: "ms"},
		{name: "targeted/stored/p50", what: "the call alone, whose answer says that the event is stored, p50", unit: "ms"},
		{name: "targeted/stored/p99", what: "the call alone, p99", unit: "ms"},
		{name: "everyone/told", what: "everyone: from the first gateway's applied to the last notice", atMost: 0.6, unit: "s"},
		{name: "everyone/posted", what: "everyone: from before the call to the last notice", unit: "s"},
		{name: "everyone/cpu", what: "everyone: the gateways' CPU for each notice", atMost: 22, unit: "µs"},
		{name: "everyone/user", what: "everyone: of that in the process", unit: "µs"},
		{name: "everyone/kernel", what: "everyone: of that in the kernel", unit: "µs"},
		{name: "everyone/unnamed", what: "everyone: tabs that a check told before the event's turn came, without its message"},
		{name: "everyone/closed", what: "everyone: from applied until all have acknowledged and are closed", unit: "s"},
		{name: "everyone/otherwise", what: "everyone: conns that were closed with another code than 4501, or none"},
		{name: "everyone/at-once/told", what: "everyone, acknowledging at once: from applied to the last notice", unit: "s"},
		{name: "everyone/at-once/posted", what: "everyone, acknowledging at once: from before the call to the last notice", unit: "s"},
		{name: "everyone/at-once/unnamed", what: "everyone, acknowledging at once: tabs that a check told before the event's turn came"},
		{name: "everyone/at-once/closed", what: "everyone, acknowledging at once: from applied until all are closed", unit: "s"},
		{name: "everyone/at-once/otherwise", what: "everyone, acknowledging at once: conns that were closed with another code than 4501, or none"},
		{name: "delay/usual", what: "a single tab: from before the call to its notice, p50", unit: "ms"},
		{name: "delay/mass", what: "a single tab right behind a mass logout: for how long after its notice others of the mass were still told", unit: "ms"},
		{name: "delay/applied", what: "a single tab right behind a mass logout: later than usual, from applied", atMost: 5, unit: "ms"},
		{name: "delay/posted", what: "a single tab right behind a mass logout: later than usual, from before the call", atMost: 5, unit: "ms"},
		{name: "delay/meanwhile/applied/p50", what: "single tabs while a mass is told and closed: later than usual, from applied, p50", unit: "ms"},
		{name: "delay/meanwhile/applied/most", what: "single tabs while a mass is told and closed: later than usual, from applied, at most", unit: "ms"},
		{name: "delay/meanwhile/p50", what: "single tabs while a mass is told and closed: later than usual, from before the call, p50", unit: "ms"},
		{name: "delay/meanwhile/most", what: "single tabs while a mass is told and closed: later than usual, from before the call, at most", unit: "ms"},
	}
}

// stormRows are about tabs that come, and stay.
func stormRows() []row {
	return []row{
		{name: "storm/handshakes", what: "storm: tabs that come back, until ready", atLeast: 9000, unit: "/s"},
		{name: "storm/refused", what: "storm: tries that were refused and made again"},
		{name: "storm/cpu", what: "storm: the gateway's CPU for each", unit: "µs"},
		{name: "storm/ledger-cpu", what: "storm: the ledger's CPU for each, which keeps the used tickets", unit: "µs"},
		{name: "storm/tickets", what: "storm: tickets that were got beforehand", unit: "/s"},
		{name: "storm/left/goroutines", what: "after a storm, more goroutines than before"},
		{name: "storm/left/files", what: "after a storm, more open files than before"},
		{name: "storm/left/heap", what: "after a storm, more heap than before", unit: "MB"},
		{name: "storm/empty/goroutines", what: "once all have gone, more goroutines than before the first came"},
		{name: "storm/empty/files", what: "once all have gone, more open files"},
		{name: "storm/empty/heap", what: "once all have gone, more heap", unit: "MB"},
		{name: "idle/cpu", what: "idle tabs: the gateways' CPU, of one processor", atMost: 5, unit: "%"},
		{name: "idle/empty", what: "without tabs: the gateways' CPU, of one processor", unit: "%"},
		{name: "idle/lost", what: "idle tabs that lost their conn meanwhile"},
		{name: "heartbeat/cpu", what: "idle tabs with a short heartbeat: the gateways' CPU", unit: "%"},
		{name: "heartbeat/empty", what: "without tabs, with a short heartbeat: the gateways' CPU", unit: "%"},
		{name: "heartbeat/lost", what: "idle tabs with a short heartbeat that lost their conn meanwhile"},
	}
}
