package revocation

import (
	"encoding/binary"
	"sync"
	"time"
	"unsafe"

	"github.com/maypok86/otter/v2"
	"github.com/puzpuzpuz/xsync/v4"

	"github.com/curfewhq/curfew/events"
	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

// peer is something that answers whether a session has been revoked by its name: our set, and what one would write or pick in its place. has is
// for any goroutine; the others are for one at a time.
type peer interface {
	// add notes that a session is revoked, and may be forgotten from until on. The peer keeps the id.
	add(id string, until time.Time)
	has(id string) bool
	// forget forgets one session. A peer that sweeps does nothing.
	forget(id string)
	// sweep forgets what ended before now. A peer that is told of each does nothing.
	sweep(now time.Time)
	// close stops what the peer has started.
	close()
}

// peers lists all of them by name. The last two take minutes to fill with ten million. n is how many entries are expected: whoever can be told is told, so that none is measured while it grows.
var peers = []struct {
	name string
	make func(n int) peer
}{
	{"curfew", newSetPeer},
	{"rwmutex-map", newMapPeer},
	{"xsync", newXsyncPeer},
	{"sync.Map", func(int) peer { return &syncMapPeer{} }},
	{"otter", newOtterPeer},
}

// setPeer is ours. It is asked as a Check asks for a session's name, without what else a Check does.
type setPeer struct{ set *set }

// peerMaxAge is short, for the set counts expiry in parts of it: here in seconds, so that a benchmark sees entries expire.
const peerMaxAge = 4 * time.Minute

func newSetPeer(int) peer {
	return setPeer{newSet(lifetimes{maxAge: peerMaxAge}, [16]byte{1})}
}

func (p setPeer) add(id string, until time.Time) {
	now := millis(time.Now())
	x, _ := p.set.expiry(millis(until), span{now, now})
	p.set.addSession(events.DefaultTenant, id, newMeta(causeOf(events.ReasonUserLogout)|explicit, x, 1))
}

func (p setPeer) has(id string) bool {
	return p.set.named(p.set.hash.Usual(fp.Session, id)).exists()
}

func (p setPeer) forget(string)       {}
func (p setPeer) sweep(now time.Time) { p.set.expire(now) }
func (p setPeer) close()              {}

// mapPeer is the obvious thing.
type mapPeer struct {
	mu sync.RWMutex
	m  map[string]time.Time
}

func newMapPeer(n int) peer { return &mapPeer{m: make(map[string]time.Time, n)} }

func (p *mapPeer) add(id string, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.m[id] = until
}

func (p *mapPeer) has(id string) bool {
	p.mu.RLock()
	_, ok := p.m[id]
	p.mu.RUnlock()
	return ok
}

func (p *mapPeer) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.m, id)
}

func (p *mapPeer) sweep(time.Time) {}
func (p *mapPeer) close()          {}

type syncMapPeer struct{ m sync.Map }

func (p *syncMapPeer) add(id string, until time.Time) { p.m.Store(id, until) }
func (p *syncMapPeer) has(id string) bool             { _, ok := p.m.Load(id); return ok }
func (p *syncMapPeer) forget(id string)               { p.m.Delete(id) }
func (p *syncMapPeer) sweep(time.Time)                {}
func (p *syncMapPeer) close()                         {}

type xsyncPeer struct{ m *xsync.Map[string, int64] }

func newXsyncPeer(n int) peer {
	return xsyncPeer{xsync.NewMap[string, int64](xsync.WithPresize(n))}
}

func (p xsyncPeer) add(id string, until time.Time) { p.m.Store(id, until.UnixMilli()) }
func (p xsyncPeer) has(id string) bool             { _, ok := p.m.Load(id); return ok }
func (p xsyncPeer) forget(id string)               { p.m.Delete(id) }
func (p xsyncPeer) sweep(time.Time)                {}
func (p xsyncPeer) close()                         {}

// otterPeer is without a bound on its size, for a revocation must never be evicted, and with an expiry for each entry, which is what it is for.
type otterPeer struct{ c *otter.Cache[string, int64] }

func newOtterPeer(n int) peer {
	return otterPeer{otter.Must(&otter.Options[string, int64]{
		InitialCapacity: n,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[string, int64]) time.Duration {
			return time.Until(time.UnixMilli(e.Value))
		}),
	})}
}

func (p otterPeer) add(id string, until time.Time) { p.c.Set(id, until.UnixMilli()) }
func (p otterPeer) has(id string) bool             { _, ok := p.c.GetIfPresent(id); return ok }
func (p otterPeer) forget(id string)               { p.c.Invalidate(id) }
func (p otterPeer) sweep(time.Time)                {}
func (p otterPeer) close()                         { p.c.StopAllGoroutines() }

// putID writes the id number i into 32 bytes: as letters, which takes a nanosecond or two.
func putID(b *[32]byte, i uint64) {
	const letters, low = 0x6060606060606060, 0x0f0f0f0f0f0f0f0f
	binary.LittleEndian.PutUint64(b[8:], i&low|letters)
	binary.LittleEndian.PutUint64(b[16:], i>>4&low|letters)
}

func newID() [32]byte { return [32]byte([]byte("session-................-session")) }

// Members of a peer are the ids from 0; what a writer adds lies from added on, and who isn't there from absent on.
const (
	added  = 1 << 40
	absent = 1 << 47
)

// idsAtOnce is how many ids are made before the first is asked for. A request's id was written long before it is asked for: a load of what has just been
// written, of another width, would wait for the store, and hold up who loads sixteen bytes at once.
const idsAtOnce = 64

// prober makes the ids to ask for as it goes, as walker does: one of 1,024 is a member's, so 99.9 % miss.
type prober struct {
	x, n uint64
	ids  [idsAtOnce][32]byte
	at   int
	// members counts those that were made.
	members int
}

func newProber(n int, seed uint64) *prober {
	p := &prober{x: seed * 0x9e3779b97f4a7c15, n: uint64(n)}
	for i := range p.ids {
		p.ids[i] = newID()
	}
	return p
}

// next returns an id that is good until idsAtOnce calls later.
func (p *prober) next() string {
	if p.at == 0 {
		p.make()
	}
	id := &p.ids[p.at]
	p.at = (p.at + 1) % idsAtOnce
	return unsafe.String(&id[0], len(id))
}

func (p *prober) make() {
	for k := range p.ids {
		p.x = p.x*6364136223846793005 + 1442695040888963407
		i := p.x>>16 | absent
		if p.x>>54 == 0 {
			p.members++
			i = p.x >> 16 % p.n
		}
		putID(&p.ids[k], i)
	}
}

// member returns the id number i, for a peer to keep.
func member(i uint64) string {
	id := newID()
	putID(&id, i)
	return string(id[:])
}
