package revocation

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/curfewhq/curfew/events"
	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
	"github.com/curfewhq/curfew/revocation/internal/table"
)

// set holds all live revocations, by fingerprints. Lookups are for any goroutine and never lock; apply and what else changes it are for one at
// a time, beside expire.
//
// The state is a join-semilattice. apply joins it with what an event says, and joining two sets entry by entry gives what applying all
// events of both does; so order, repetition and who read an event first don't matter.
type set struct {
	keep  lifetimes
	clock clockwork
	hash  *fp.Hasher
	// sessions: session → meta. scopes: user, device, client or tenant → its cutoffs.
	sessions, scopes *table.Table
	// latest: kind → the latest cutoff there ever was, in Unix milliseconds. A session that began after it needn't be looked for: so a deployment
	// that never logged out a client, or not lately, pays nothing for the possibility.
	latest [fp.Tenant + 1]atomic.Int64
	// highest is the last tick, unbounded, at which an entry expires.
	highest atomic.Int64
	// since is the tick of the stream's clock from which farSince counts, once begun. The writer's.
	since int64
	begun bool

	// forgotten is the latest tick by which was forgotten. What ended before isn't taken in any more.
	forgotten atomic.Int64
	// sweeping is held by who forgets. swept is the tick of the last time; 0 before the first.
	sweeping sync.Mutex
	swept    int64
}

const noCutoff = -1 << 63

func newSet(keep lifetimes, key [fp.KeySize]byte) *set {
	s := &set{
		keep: keep, clock: newClockwork(keep), hash: fp.New(key, events.DefaultTenant),
		sessions: table.New(false), scopes: table.New(true),
	}
	for i := range s.latest {
		s.latest[i].Store(noCutoff)
	}
	return s
}

// kindOf is the kind of a fingerprint that an event's target has.
func kindOf(k events.Kind) fp.Kind {
	switch k {
	case events.KindUser:
		return fp.User
	case events.KindDevice:
		return fp.Device
	case events.KindClient:
		return fp.Client
	case events.KindTenant:
		return fp.Tenant
	}
	return fp.Session
}

// apply adds an event that lies at a position of the stream and was stored there at stored; zero stands for the event's own time.
func (s *set) apply(e events.Event, position uint64, stored time.Time) {
	c := e.Meta()
	if stored.IsZero() {
		stored = c.Time
	}
	// The end that is far ahead is cut by the event's own time where that can be right, which all replicas read alike.
	span := span{millis(stored), max(millis(stored), min(millis(c.Time), time.Now().UnixMilli()))}
	why, at := causeOf(c.Reason), posOf(position)
	if e, ok := e.(*events.SessionRevoked); ok {
		if x, live := s.expiry(s.keep.sessionExpiry(e, stored), span); live {
			s.addSession(c.Tenant, e.Session, newMeta(why|explicit, x, at))
		}
		return
	}
	instant, _ := events.Cutoff(e)
	until := s.keep.cutoffExpiry(instant, c)
	x, live := s.expiry(until, span)
	own := cutoffs{top: cutoff{unpackAt(packAt(millis(instant))), why, at}, expires: x}
	if u, ok := e.(*events.UserLoggedOutEverywhere); ok {
		if x, live := s.expiry(max(until, s.keep.namedExpiry(c, stored)), span); live {
			for _, sid := range u.KnownSessions {
				s.addSession(c.Tenant, sid, newMeta(why, x, at))
			}
		}
		own.except = s.fingerprints(c.Tenant, u.Except)
		own.spared = make([]cutoff, len(own.except))
	}
	if live {
		s.addCutoffs(kindOf(e.Kind()), c.Tenant, e.Target(), own)
	}
}

// expiry returns the tick at which an entry may go that must be kept until t, and whether it isn't one that would have been forgotten already.
func (s *set) expiry(t int64, of span) (x tick, live bool) {
	n := s.clock.expiry(t, of)
	// By a clock that was ahead, what is forgotten may reach into the future: what ends there is still needed.
	if n < min(s.forgotten.Load(), s.clock.floor(time.Now().UnixMilli())) {
		return 0, false
	}
	s.reach(n)
	return tick(n) & tickMask, true
}

func (s *set) fingerprint(kind fp.Kind, tenant, id string) fp.FP {
	return s.hash.Sum(kind, tenant, id)
}

// fingerprints returns those of sessions, sorted and without repetition.
func (s *set) fingerprints(tenant string, sids []string) []fp.FP {
	fps := make([]fp.FP, len(sids))
	for i, sid := range sids {
		fps[i] = s.fingerprint(fp.Session, tenant, sid)
	}
	slices.SortFunc(fps, fp.FP.Compare)
	return slices.Compact(fps)
}

func (s *set) addSession(tenant, sid string, m meta) {
	s.joinSession(s.fingerprint(fp.Session, tenant, sid), m)
}

func (s *set) joinSession(f fp.FP, m meta) {
	s.sessions.Update(f, func(e table.Entry, there bool) table.Entry {
		if there {
			m = meta(e.Meta).join(m)
		}
		e.Meta = uint64(m)
		return e
	})
}

func (s *set) addCutoffs(kind fp.Kind, tenant, id string, own cutoffs) {
	s.raise(kind, own.top.at)
	s.joinCutoffs(s.fingerprint(kind, tenant, id), own)
}

// raise notes a cutoff's time, before the cutoff is there, so that no reader who looks for it passes it over.
func (s *set) raise(kind fp.Kind, at int64) {
	raise(&s.latest[kind], at)
}

func (s *set) joinCutoffs(f fp.FP, own cutoffs) {
	s.scopes.Update(f, func(e table.Entry, there bool) table.Entry {
		if there {
			own = decodeCutoffs(&e).join(own)
		}
		own.encode(&e)
		return e
	})
}

// reach notes the last tick, unbounded, at which an entry expires.
func (s *set) reach(n int64) {
	raise(&s.highest, n)
}

// farSince reports whether the stream's clock has moved on by so much since it was last asked that what has expired must be forgotten, lest ticks
// come around: a ledger may hold events of many times max age, and is read in seconds. Called by the writer only.
func (s *set) farSince(stored time.Time) bool {
	ms := millis(stored)
	n := s.clock.floor(ms)
	if !s.begun {
		s.begun, s.since = true, n
		s.sweptTo(ms)
	}
	if n-s.since < sweepStep {
		return false
	}
	s.since = n
	return true
}

// sweptTo notes that nothing is held that ended before ms, or that what did is still to be read. What was noted before of an earlier time stays true: a
// snapshot may be older than the first event that is read after it.
func (s *set) sweptTo(ms int64) {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	n := s.clock.floor(ms)
	if s.swept == 0 || n < s.swept {
		s.swept = n
	}
}

// sweepStep is how many ticks a sweep may lie after the one before it. Beyond, it goes in steps: by a clock that is far ahead, what has ended long ago
// would look as if it lay ahead.
const sweepStep = tickPast / 2

// expire forgets what ended before now and returns how many entries that was. Readers aren't held up. By a clock that is further behind
// than ticks can tell apart it forgets nothing: to such a clock, what lies far ahead would look past.
func (s *set) expire(now time.Time) (gone int) {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	n := s.clock.floor(millis(now))
	if s.swept == 0 {
		s.swept = n
	}
	// Once around at most.
	for at := max(s.swept, n-1<<tickBits) + sweepStep; at < n; at += sweepStep {
		gone += s.sweep(at)
	}
	gone += s.sweep(n)
	s.swept = max(s.swept, n)
	raise(&s.forgotten, n)
	return gone
}

// sweep forgets what is past at a tick.
func (s *set) sweep(at int64) int {
	if s.highest.Load()-at >= 1<<tickBits-tickPast {
		return 0
	}
	over := func(m uint64) bool { return past(meta(m).expires(), at) }
	return s.sessions.Expire(over) + s.scopes.Expire(over)
}

// rewind prepares for a stream that is read from its beginning, and counts its positions anew.
func (s *set) rewind() {
	s.begun = false
	// Nothing is forgotten meanwhile, or it would be put in again.
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	forget := func(m uint64) uint64 { return m &^ posMask }
	s.sessions.Rewrite(forget)
	s.scopes.Rewrite(forget)
	for i := range table.Shards {
		var recorded []fp.FP
		s.scopes.Each(i, func(e table.Entry) {
			if len(e.Record) > 0 {
				recorded = append(recorded, e.FP)
			}
		})
		for _, f := range recorded {
			s.scopes.Update(f, func(e table.Entry, _ bool) table.Entry {
				cs := decodeCutoffs(&e)
				for i := range cs.spared {
					cs.spared[i].pos = 0
				}
				cs.encode(&e)
				return e
			})
		}
	}
}

// size returns the number of sessions, and of users, devices, clients and tenants with cutoffs.
func (s *set) size() (sessions, scopes int) { return s.sessions.Len(), s.scopes.Len() }
