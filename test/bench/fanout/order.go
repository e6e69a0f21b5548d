package main

import "time"

// order is what the driver asks of one of its processes. Each has one answer, and the next is given after that.
type order struct {
	Do string `json:"do"`
	// Settings are for the first order of a ledger or a gateway, start.
	Settings settings `json:"settings,omitzero"`
	// Crowd is for add, which makes tabs and gets their tickets, and again, which gets new tickets for all.
	Crowd crowd `json:"crowd,omitzero"`
	// Addr and Window are for connect: whereto, and how many handshakes may be under way. Drop has those that are open reset first, at once.
	Addr   string `json:"addr,omitempty"`
	Window int    `json:"window,omitempty"`
	Drop   bool   `json:"drop,omitempty"`
	// Hold, of connect, keeps acknowledgements back until the order ack.
	Hold bool `json:"hold,omitempty"`
	// Count is for how many notices, or closed conns, to wait. Those that came since the last order of the kind count.
	Count int `json:"count,omitempty"`
	// Events are the ids of which a gateway is asked when it applied them.
	Events []string `json:"events,omitempty"`
	// Path is of a CPU profile that begins; empty ends it.
	Path string `json:"path,omitempty"`
}

// settings of a ledger or a gateway.
type settings struct {
	Dir       string        `json:"dir"`
	NATS      string        `json:"nats,omitempty"`
	CertFile  string        `json:"cert_file,omitempty"`
	KeyFile   string        `json:"key_file,omitempty"`
	Heartbeat time.Duration `json:"heartbeat,omitempty"`
}

// crowd are users and their tabs, each with a session of its own.
type crowd struct {
	// URL and Key are whom to ask for tickets.
	URL string `json:"url"`
	Key string `json:"key"`
	// Group keeps users apart from another crowd's.
	Group int `json:"group"`
	// First is the first user's number.
	First int `json:"first"`
	Users int `json:"users"`
	// Tabs is how many each user has.
	Tabs int `json:"tabs"`
}

// answer is the answer to any order. Members that don't belong to it are left out. Instants are of the machine's wall clock, in nanoseconds.
type answer struct {
	Error string `json:"error,omitempty"`
	// URL, NATS and KeyFile are the answer to start.
	URL     string `json:"url,omitempty"`
	NATS    string `json:"nats,omitempty"`
	KeyFile string `json:"key_file,omitempty"`
	// Usage is what the process has used, or holds.
	Usage usage `json:"usage,omitzero"`
	// Applied: event → when the gateway's replica had applied it.
	Applied map[string]int64 `json:"applied,omitempty"`
	// Count is how many tickets were got, how many tabs are ready, or how many conns were closed.
	Count int `json:"count,omitempty"`
	// Began and Ended are of connect: from the first socket, or the reset, to the last ready; of ack and closed: Ended is when the last conn was closed.
	Began int64 `json:"began,omitempty"`
	Ended int64 `json:"ended,omitempty"`
	// Notices: event → who was told of it.
	Notices map[string]told `json:"notices,omitempty"`
	// Codes: close code → how many conns were closed with it.
	Codes map[int]int `json:"codes,omitempty"`
	// Refused is how many tries were refused, or cut, before hello, and made again.
	Refused int `json:"refused,omitempty"`
	// Lost is why conns were lost, and how many.
	Lost map[string]int `json:"lost,omitempty"`
	// Took is how long tickets took.
	Took time.Duration `json:"took,omitempty"`
}

// told are the notices of one event.
type told struct {
	Count int `json:"count"`
	// First and Last are when a tab had read its notice.
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// usage is what a process has used until now, of CPU in itself and in the kernel, or holds. An order asks for one or the other.
type usage struct {
	User   time.Duration `json:"user"`
	System time.Duration `json:"system"`
	// RSS, Heap and Stack are bytes; Heap is of objects, also of those that aren't collected yet.
	RSS        int64 `json:"rss"`
	Heap       int64 `json:"heap"`
	Stack      int64 `json:"stack"`
	Goroutines int   `json:"goroutines"`
	Files      int   `json:"files"`
}

func (u usage) cpu() time.Duration { return u.User + u.System }

// minus returns what was used since.
func (u usage) minus(o usage) usage {
	return usage{u.User - o.User, u.System - o.System, u.RSS - o.RSS, u.Heap - o.Heap, u.Stack - o.Stack, u.Goroutines - o.Goroutines, u.Files - o.Files}
}

func (u usage) plus(o usage) usage {
	return usage{u.User + o.User, u.System + o.System, u.RSS + o.RSS, u.Heap + o.Heap, u.Stack + o.Stack, u.Goroutines + o.Goroutines, u.Files + o.Files}
}
