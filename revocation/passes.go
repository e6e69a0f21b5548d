package revocation

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/curfewhq/curfew/events/exposure"
	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

// Defaults of PassesConfig.
const (
	DefaultPasses       = 1 << 16
	DefaultPassedRoutes = 256
	DefaultPassedEvents = 1 << 14
)

// PassesConfig of Passes. The zero value is good.
type PassesConfig struct {
	// Entries is how many passes are kept, rounded up to a power of two of at least 64: 32 bytes each. Zero means DefaultPasses; negative is refused.
	Entries int
	// Routes is how many different routes have names. Zero means DefaultPassedRoutes; at most 65,535, and negative is refused.
	Routes int
	// Events is of how many events it is kept when they were applied, and what the sessions that they name had got through by then: about two hundred bytes each. Zero means DefaultPassedEvents;
	// negative is refused.
	Events int
}

// Passes remembers the latest requests that a process let through, by session, time and route, and when its replica applied the latest events: so that it can be told which requests a session got
// through before its revocation arrived. Make it with NewPasses, hand it to what checks (revocationhttp, revocationgrpc), and close it. All methods are safe for concurrent use; a nil Passes records nothing.
//
// Sessions are kept as fingerprints under the replica's key, never as ids. What is kept lies in rings, each for a part of all sessions, whose oldest entries give way to new ones; how far back it
// reaches is part of every answer. A moment after an event was applied, what its sessions got through since it was decided is taken out of the rings and kept with it (ADR 0049): so the rings need to
// reach back for as long as events travel, and not until somebody asks.
type Passes struct {
	replica *Replica
	// hash is what fingerprints were made with so far.
	hash   atomic.Pointer[fp.Hasher]
	shards [passShards]passShard
	routes atomic.Pointer[routeNames]
	began  int64
	stop   func()

	maxRoutes int

	mu sync.Mutex
	// applied is a ring of events and when they were applied; next is where the next goes. Guarded by mu, and so is adding a route.
	applied []appliedAt
	next    int
	// fresh are those whose passes are still to be kept, which timer does; guarded by mu. named counts their sessions, and kept the passes that are kept.
	fresh       []int
	named, kept int
	timer       *time.Timer
	closed      bool
	// keeping is held while passes are taken out of the rings.
	keeping sync.Mutex
}

// passShards is how many rings there are. Which one a session's passes lie in follows from its fingerprint, so that a question looks at one.
const passShards = 64

// passShard is one ring.
type passShard struct {
	next atomic.Uint64
	// lost is when the latest pass passed that isn't there any more; 0 for none.
	lost  atomic.Int64
	slots []passSlot
	_     [64 - 8 - 8 - 24]byte
}

// passSlot is one pass. Its version is odd while it is written. So a reader that finds the same even version before and after has read one pass and not parts of two, and of two writers one goes on to
// another slot.
type passSlot struct{ version, first, second, word atomic.Uint64 }

// A pass's word: when it passed in Unix milliseconds, whether it was undetermined, and its route.
const (
	passRouteBits = 16
	passUnknown   = 1 << passRouteBits
	passTimeShift = passRouteBits + 1
)

// routeNames are the names of routes; they are replaced, never changed. The first is that of all others.
type routeNames struct {
	index map[string]uint64
	names []string
}

// appliedAt is when an event was applied.
type appliedAt struct {
	position uint64
	event    string
	at       int64
	// since is from when on passes are kept of the sessions, of whose fingerprints there are few; until is when they were taken out of the rings, 0 before.
	since, until int64
	sessions     []keptSession
}

// NewPasses begins to remember. It borrows the replica, which is closed after it.
func NewPasses(r *Replica, cfg PassesConfig) (*Passes, error) {
	if r == nil {
		return nil, errors.New("revocation passes: the replica is required: open one with revocation.Open")
	}
	if cfg.Entries < 0 || cfg.Routes < 0 || cfg.Routes > 1<<passRouteBits-1 || cfg.Events < 0 {
		return nil, errors.New("revocation passes: Entries, Routes and Events can't be negative, nor Routes above 65535: leave them zero for the defaults")
	}
	orElse := func(n, def int) int {
		if n == 0 {
			return def
		}
		return n
	}
	p := &Passes{replica: r, maxRoutes: orElse(cfg.Routes, DefaultPassedRoutes), applied: make([]appliedAt, orElse(cfg.Events, DefaultPassedEvents))}
	size := 1
	for size*passShards < orElse(cfg.Entries, DefaultPasses) {
		size *= 2
	}
	for i := range p.shards {
		p.shards[i].slots = make([]passSlot, size)
	}
	p.hash.Store(r.set.Load().hash)
	p.routes.Store(&routeNames{index: map[string]uint64{}, names: []string{exposure.OtherRoutes}})
	p.stop = r.OnApplied(p.noteApplied)
	// Not before: what was applied until now, nobody has told us.
	p.began = time.Now().UnixMilli()
	return p, nil
}

// Close stops listening to the replica. What is remembered can still be asked for. It is idempotent, and may be called of a nil Passes.
func (p *Passes) Close() {
	if p == nil {
		return
	}
	p.stop()
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	p.keeping.Lock() // which whoever keeps holds until it is done
	defer p.keeping.Unlock()
}

// Record notes that a request of s was let through on a route, by the decision d. Call it once for each request, before it is served: what has been served is then known. It doesn't lock, block or
// allocate, but for the first pass on a route. A session without an id isn't recorded: nobody could ask for it. The route must be one of few, such as a pattern, and not a path, which may hold ids.
func (p *Passes) Record(s Session, route string, d Decision) {
	if p == nil || s.ID == "" {
		return
	}
	hash := p.replica.set.Load().hash
	if old := p.hash.Load(); old != hash {
		p.rekey(old, hash)
	}
	f := hash.Sum(fp.Session, s.tenant(), s.ID)
	word := p.route(route)
	if d.State != Active {
		word |= passUnknown
	}
	now := time.Now().UnixMilli()
	p.shard(f).record(f, uint64(now)<<passTimeShift|word, now)
}

// shard is where a session's passes lie. The set's table chooses by the other half of a fingerprint.
func (p *Passes) shard(f fp.FP) *passShard { return &p.shards[f.Second%passShards] }

// passTries is how many slots a writer tries: it finds one taken where another writer was stopped in the middle of it while the whole ring was written.
const passTries = 4

func (s *passShard) record(f fp.FP, word uint64, now int64) {
	for range passTries {
		slot := &s.slots[(s.next.Add(1)-1)&uint64(len(s.slots)-1)]
		v := slot.version.Load()
		if v&1 == 1 || !slot.version.CompareAndSwap(v, v+1) {
			continue
		}
		// Before it is gone, so that who doesn't find it finds this.
		if old := slot.word.Load(); old != 0 {
			raise(&s.lost, int64(old>>passTimeShift))
		}
		slot.first.Store(f.First)
		slot.second.Store(f.Second)
		slot.word.Store(word)
		slot.version.Store(v + 2)
		return
	}
	raise(&s.lost, now)
}

// rekey notes that fingerprints are made with another key from now on: what was recorded before can't be found any more.
func (p *Passes) rekey(old, hash *fp.Hasher) {
	now := time.Now().UnixMilli()
	for i := range p.shards {
		raise(&p.shards[i].lost, now)
	}
	p.hash.CompareAndSwap(old, hash)
}

// route returns the number of a route.
func (p *Passes) route(name string) uint64 {
	if i, known := p.routes.Load().index[name]; known {
		return i
	}
	return p.addRoute(name)
}

func (p *Passes) addRoute(name string) uint64 {
	if p.routes.Load().full(p.maxRoutes) || len(name) > exposure.MaxRouteBytes {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.routes.Load()
	if i, known := old.index[name]; known || old.full(p.maxRoutes) {
		return i // 0 for one that isn't known
	}
	name = strings.ToValidUTF8(strings.Clone(name), "\uFFFD")
	added := &routeNames{index: make(map[string]uint64, len(old.index)+1), names: append(old.names[:len(old.names):len(old.names)], name)}
	for n, i := range old.index {
		added.index[n] = i
	}
	i := uint64(len(old.names))
	added.index[name] = i
	p.routes.Store(added)
	return i
}

func (r *routeNames) full(most int) bool { return len(r.names) > most }

func (p *Passes) noteApplied(a Applied) {
	e := appliedAt{position: a.Position, event: strings.Clone(a.Event.Meta().ID), at: time.Now().UnixMilli(), sessions: p.namedBy(a.Event)}
	e.since = max(0, min(millis(a.Event.Meta().Time), e.at)-keptBefore.Milliseconds())
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.applied[p.next].sessions {
		p.kept -= len(s.passes)
	}
	p.applied[p.next] = e
	p.plan(p.next)
	p.next = (p.next + 1) % len(p.applied)
}
