package revocation

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/curfewhq/curfew/events"
)

// mapSet is a set of plain maps under one lock. It owns all that it holds: strings come from decoded events, slices are copied.
//
// Check reads under that lock, shared with other readers, and so may wait while the writer applies an event, which is short, or while
// expire walks everything, which takes as long as the set is large. The read path shouldn't lock at all; this version lets it, because
// plain maps are the set that is easiest to get right.
type mapSet struct {
	keep lifetimes

	mu sync.RWMutex
	// sessions: session → what ends it by name.
	sessions map[key]ending
	// scopes: user, device, client or tenant → its cutoffs.
	scopes map[key]*cutoffs
}

func newMapSet(keep lifetimes) *mapSet {
	return &mapSet{keep: keep, sessions: map[key]ending{}, scopes: map[key]*cutoffs{}}
}

func (m *mapSet) apply(e events.Event, position uint64) {
	c := e.Meta()
	by := ending{scope: e.Kind(), reason: c.Reason, position: position}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := e.(*events.SessionRevoked); ok {
		by.expires = m.keep.sessionExpiry(s)
		m.addSession(key{c.Tenant, events.KindSession, s.Session}, by)
		return
	}
	at, _ := events.Cutoff(e)
	by.expires = m.keep.cutoffExpiry(at, c)
	var except []string
	if u, ok := e.(*events.UserLoggedOutEverywhere); ok {
		except = slices.Compact(slices.Sorted(slices.Values(u.Except)))
		named := by
		named.expires = max(by.expires, m.keep.namedExpiry(c))
		for _, sid := range u.KnownSessions {
			m.addSession(key{c.Tenant, events.KindSession, sid}, named)
		}
	}
	k := key{c.Tenant, e.Kind(), e.Target()}
	m.scopes[k] = m.scopes[k].join(newCutoffs(millis(at), by, except))
}

func (m *mapSet) addSession(k key, by ending) {
	if old, ok := m.sessions[k]; ok {
		by = old.join(by)
	}
	m.sessions[k] = by
}

// scopeKeys are the parts of a session that cutoffs speak of, in the order of Check. Absent parts have an empty id.
func scopeKeys(s Session) [4]key {
	t := s.tenant()
	return [4]key{{t, events.KindUser, s.User}, {t, events.KindDevice, s.Device}, {t, events.KindClient, s.Client}, {t, events.KindTenant, t}}
}

func (m *mapSet) lookup(s Session) (ending, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if s.ID != "" {
		if by, ok := m.sessions[key{s.tenant(), events.KindSession, s.ID}]; ok {
			return by, true
		}
	}
	if s.AuthTime.IsZero() {
		return ending{}, false
	}
	begun := millis(s.AuthTime)
	for _, k := range scopeKeys(s) {
		if k.id == "" {
			continue
		}
		if by, ok := m.scopes[k].ends(s.ID, begun); ok {
			return by, true
		}
	}
	return ending{}, false
}

func (m *mapSet) touched(s Session) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, k := range scopeKeys(s) {
		if k.id != "" && m.scopes[k] != nil {
			return true
		}
	}
	return false
}

func (m *mapSet) expire(now time.Time) int {
	t := millis(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.sessions)
	maps.DeleteFunc(m.sessions, func(_ key, by ending) bool { return by.expires < t })
	gone := before - len(m.sessions)
	maps.DeleteFunc(m.scopes, func(_ key, cs *cutoffs) bool {
		over := cs.expires < t
		if over {
			gone += cs.size()
		}
		return over
	})
	return gone
}

func (m *mapSet) size() (sessions, cutoffs int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, cs := range m.scopes {
		cutoffs += cs.size()
	}
	return len(m.sessions), cutoffs
}

func (m *mapSet) digest() [32]byte {
	m.mu.RLock()
	defer m.mu.RUnlock()
	h := sha256.New()
	for _, k := range slices.SortedFunc(maps.Keys(m.sessions), compareKeys) {
		hashKey(h, k)
		hashEnding(h, m.sessions[k])
	}
	for _, k := range slices.SortedFunc(maps.Keys(m.scopes), compareKeys) {
		hashKey(h, k)
		cs := m.scopes[k]
		hashCutoff(h, cs.top)
		hashNumbers(h, cs.expires, int64(len(cs.except)))
		for i, sid := range cs.except {
			hashText(h, sid)
			hashCutoff(h, cs.spared[i])
		}
	}
	return [32]byte(h.Sum(nil))
}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id))
}

func hashKey(h hash.Hash, k key) {
	hashText(h, k.tenant)
	hashText(h, string(k.kind))
	hashText(h, k.id)
}

func hashCutoff(h hash.Hash, c cutoff) {
	hashNumbers(h, c.at)
	hashEnding(h, c.by)
}

// hashEnding leaves the position out: a replayed event has another one and is the same event.
func hashEnding(h hash.Hash, by ending) {
	hashText(h, string(by.scope))
	hashText(h, string(by.reason))
	hashNumbers(h, by.expires)
}

// hashText writes the length first, so that neighbours can't run into each other.
func hashText(h hash.Hash, s string) {
	hashNumbers(h, int64(len(s)))
	_, _ = h.Write([]byte(s))
}

func hashNumbers(h hash.Hash, numbers ...int64) {
	var b [8]byte
	for _, n := range numbers {
		binary.BigEndian.PutUint64(b[:], uint64(n))
		_, _ = h.Write(b[:])
	}
}
