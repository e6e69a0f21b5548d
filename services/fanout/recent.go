package fanout

import (
	"hash/maphash"
	"sync"

	"github.com/curfewhq/curfew/revocation"
)

// maxRecent is how many events are remembered for tabs that come back: a few megabytes at most, and some minutes at hundreds of events in a second.
const maxRecent = 1 << 16

// recent remembers which users the latest events touched, and nothing else of them. What it says is a hint: who it can't tell anything about gets none, and
// whether a session is over is the replica's to say. It is safe for concurrent use. Make it with newRecent.
type recent struct {
	seed maphash.Seed
	most int

	mu sync.Mutex
	// ring holds the latest events, and next is where the next one is put, once there are as many as may be.
	ring []recentEvent
	next int
	// latest: hash of whom → position of the latest event that touched them. at: hash of an event's id → its position.
	latest map[uint64]uint64
	at     map[uint64]uint64
	// from is the position after which every event is remembered, and to is that of the latest.
	from, to uint64
}

type recentEvent struct{ position, whom, id uint64 }

func newRecent(most int) *recent {
	return &recent{seed: maphash.MakeSeed(), most: most, latest: map[uint64]uint64{}, at: map[uint64]uint64{}}
}

// add remembers an event. Events come in order; one that comes before its time is of another stream, or of one that was put back.
func (r *recent) add(a revocation.Applied) {
	meta := a.Event.Meta()
	e := recentEvent{position: a.Position, whom: r.whom(meta.Tenant, a.Event.UserID()), id: maphash.String(r.seed, meta.ID)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.Position <= r.to {
		r.ring, r.next, r.from, r.to = nil, 0, 0, 0
		clear(r.latest)
		clear(r.at)
	}
	if r.to == 0 {
		r.from = a.Position - 1
	}
	r.to = a.Position
	r.latest[e.whom], r.at[e.id] = e.position, e.position
	if len(r.ring) < r.most {
		r.ring = append(r.ring, e)
		return
	}
	r.forgetLocked(r.ring[r.next])
	r.ring[r.next] = e
	r.next = (r.next + 1) % r.most
}

func (r *recent) forgetLocked(old recentEvent) {
	r.from = old.position
	if r.latest[old.whom] == old.position {
		delete(r.latest, old.whom)
	}
	if r.at[old.id] == old.position {
		delete(r.at, old.id)
	}
}

// touched reports whether an event that a tab hasn't heard of has touched its user, and false also where that isn't known. An event that names no user, as a
// logout of a device, client or tenant does, may have touched any of its tenant.
func (r *recent) touched(s revocation.Session, known cursor) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	since := known.position
	if known.after != "" {
		since = max(since, r.at[maphash.String(r.seed, known.after)])
	}
	if since == 0 || since < r.from || since > r.to {
		return false
	}
	return r.latest[r.whom(tenantOf(s), s.User)] > since || r.latest[r.whom(tenantOf(s), "")] > since
}

// whom returns the hash of a user, or of who has no name.
func (r *recent) whom(tenant, user string) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	_, _ = h.WriteString(tenant)
	_ = h.WriteByte(0) // no id holds it
	_, _ = h.WriteString(user)
	return h.Sum64()
}
