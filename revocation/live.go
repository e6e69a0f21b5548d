package revocation

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/curfewhq/curfew/events"
)

// Live is an index of things that live as long as a session does: requests under way, open conns. It answers which of them an event
// may end, at the cost of those, however many others there are. The zero value is ready to use, and safe for concurrent use.
//
// To miss nothing, do it in this order: add, then check, then serve; and on each event ask Affected, and check again each that it
// returns. The interleaving that this order survives:
//
//  1. the request's session is checked: active;
//  2. the event is applied, and Affected asked: the request isn't there yet;
//  3. the request is added, and lives on for ever.
//
// [Replica.Watch] does all of that for a context.
type Live[T any] struct {
	once sync.Once
	seed maphash.Seed
	// Many goroutines add and remove at once, so there are many shards, each with a lock of its own. No method holds two locks at a time.
	shards [liveShards]liveShard[T]
}

// LiveEntry is one thing in the index. Its Session must not change while it is there.
type LiveEntry[T any] struct {
	Session Session
	Value   T

	// links: part of the session → the entry's neighbours in the list of that part. The lock of the list's shard guards each.
	links [parts]liveLink[T]
	// home is the shard of the lists that many entries share. It never changes.
	home uint8
	// there is whether the entry is in the index; the lock of its home guards it.
	there bool
}

// part is a part of a session that an event names, and so what entries are found by.
type part uint8

const (
	bySession part = iota
	byClient
	byTenant
	byUser
	byDevice

	parts
)

func (s *Session) part(p part) string {
	switch p {
	case bySession:
		return s.ID
	case byClient:
		return s.Client
	case byUser:
		return s.User
	case byDevice:
		return s.Device
	}
	return s.tenant()
}

// Add puts a thing into the index. The caller removes the entry when the thing ends.
func (l *Live[T]) Add(s Session, value T) *LiveEntry[T] {
	e := l.entry(s)
	e.Value = value
	l.insert(e)
	return e
}

// entry returns an entry that isn't in the index, for insert.
func (l *Live[T]) entry(s Session) *LiveEntry[T] {
	home := uint8(rand.N(liveShards)) // of those without an id, or they would share one
	if s.ID != "" {
		home = uint8(l.key(bySession, l.hash(s.tenant()), s.ID) >> (64 - liveShardBits))
	}
	return &LiveEntry[T]{Session: s, home: home}
}

// insert puts in an entry that was never in. Its home comes last, so that who finds it there to remove it finds it whole; until then it
// can be found, and not be removed.
func (l *Live[T]) insert(e *LiveEntry[T]) {
	s := &e.Session
	tenant := l.hash(s.tenant())
	for _, p := range [...]part{byUser, byDevice} {
		if id := s.part(p); id != "" {
			k := l.key(p, tenant, id)
			sh := l.shard(k)
			sh.mu.Lock()
			sh.link(e, p, k)
			sh.mu.Unlock()
		}
	}
	sh := &l.shards[e.home]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, p := range [...]part{bySession, byClient, byTenant} {
		if id := s.part(p); id != "" {
			sh.link(e, p, l.key(p, tenant, id))
		}
	}
	sh.n++
	e.there = true
}

// Remove takes an entry out, and reports whether it was there. Of several goroutines that remove one entry at once, one is told so.
func (l *Live[T]) Remove(e *LiveEntry[T]) bool {
	s := &e.Session
	tenant := l.hash(s.tenant())
	if !l.removeFromHome(e, tenant) {
		return false
	}
	for _, p := range [...]part{byUser, byDevice} {
		if id := s.part(p); id != "" {
			k := l.key(p, tenant, id)
			sh := l.shard(k)
			sh.mu.Lock()
			sh.unlink(e, p, k)
			sh.mu.Unlock()
		}
	}
	return true
}

func (l *Live[T]) removeFromHome(e *LiveEntry[T], tenant uint64) bool {
	s := &e.Session
	sh := &l.shards[e.home]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !e.there {
		return false
	}
	e.there = false
	sh.n--
	for _, p := range [...]part{bySession, byClient, byTenant} {
		if id := s.part(p); id != "" {
			sh.unlink(e, p, l.key(p, tenant, id))
		}
	}
	return true
}

// Len returns the number of entries.
func (l *Live[T]) Len() int {
	n := 0
	for i := range l.shards {
		sh := &l.shards[i]
		sh.mu.Lock()
		n += sh.n
		sh.mu.Unlock()
	}
	return n
}

// User returns the entries of a user, in no order. An empty tenant means events.DefaultTenant.
func (l *Live[T]) User(tenant, user string) []*LiveEntry[T] {
	found := finding[T]{limit: -1}
	l.find(&found, byUser, Session{Tenant: tenant}.tenant(), user, "")
	return found.entries
}

// All returns all entries, in no order.
func (l *Live[T]) All() []*LiveEntry[T] {
	var all []*LiveEntry[T]
	for i := range l.shards {
		l.walk(i, func(e *LiveEntry[T]) { all = append(all, e) })
	}
	return all
}

// walk calls do for each entry that is at home in a shard, whose lock is held: do must be short and leave the index alone.
func (l *Live[T]) walk(shard int, do func(*LiveEntry[T])) {
	sh := &l.shards[shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, first := range sh.tenants {
		for e := first; e != nil; e = e.links[byTenant].next {
			do(e)
		}
	}
}

// Affected returns the entries that e may end, each once, in no order. Whether it does is for Check to say: the index knows nothing
// of cutoffs and exceptions.
func (l *Live[T]) Affected(e events.Event) []*LiveEntry[T] {
	found, _ := l.affected(e, -1)
	return found
}

// AffectedUpTo is Affected for who has time for limit entries: more is whether there are others, at which it looks no further and returns one too many. A
// negative limit is none.
func (l *Live[T]) AffectedUpTo(e events.Event, limit int) (found []*LiveEntry[T], more bool) {
	return l.affected(e, limit)
}

// affected is AffectedUpTo.
func (l *Live[T]) affected(e events.Event, limit int) (found []*LiveEntry[T], more bool) {
	f := finding[T]{limit: limit}
	l.look(&f, e)
	return f.entries, f.full()
}

// look finds what e may end.
func (l *Live[T]) look(f *finding[T], e events.Event) {
	tenant := e.Meta().Tenant
	switch e := e.(type) {
	case *events.SessionRevoked:
		l.find(f, bySession, tenant, e.Session, "")
	case *events.UserLoggedOutEverywhere:
		l.find(f, byUser, tenant, e.User, "")
		// An event may name a session twice, and an entry is returned once.
		for _, sid := range slices.Compact(slices.Sorted(slices.Values(e.KnownSessions))) {
			// A session that is known to be the user's may have come without a user.
			l.find(f, bySession, tenant, sid, e.User)
		}
	case *events.DeviceLoggedOut:
		l.find(f, byDevice, tenant, e.Device, "")
	case *events.ClientLoggedOut:
		l.find(f, byClient, tenant, e.Client, "")
	default:
		l.find(f, byTenant, tenant, tenant, "")
	}
}

// finding is a search under way.
type finding[T any] struct {
	entries []*LiveEntry[T]
	limit   int
	// visited counts the entries that were looked at, which is what a search costs.
	visited int
}

func (f *finding[T]) full() bool { return f.limit >= 0 && len(f.entries) > f.limit }

// find adds the entries whose part p is id, but for those of the user butOf, if there is one. An empty id finds nothing.
func (l *Live[T]) find(f *finding[T], p part, tenant, id, butOf string) {
	if id == "" {
		return
	}
	k := l.key(p, l.hash(tenant), id)
	if p == byClient || p == byTenant {
		for i := range l.shards {
			l.shards[i].find(f, p, k, tenant, id, butOf)
		}
		return
	}
	l.shard(k).find(f, p, k, tenant, id, butOf)
}

// hash returns a number that nobody outside of the process can foresee, so that who chooses ids can't crowd a shard.
func (l *Live[T]) hash(id string) uint64 {
	l.once.Do(func() { l.seed = maphash.MakeSeed() })
	return maphash.String(l.seed, id)
}

// key returns what the list of a part is found by. Lists of different parts never share one; those of one part may, once in a very long
// while.
func (l *Live[T]) key(p part, tenant uint64, id string) uint64 {
	return (l.hash(id)^bits.RotateLeft64(tenant, 29))&^(1<<partBits-1) | uint64(p)
}

func (l *Live[T]) shard(key uint64) *liveShard[T] { return &l.shards[key>>(64-liveShardBits)] }
