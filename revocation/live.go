package revocation

import (
	"slices"
	"sync"

	"github.com/curfewhq/curfew/events"
)

// Live is an index of things that live as long as a session does: requests under way, open conns. It answers which of them an event
// may end. The zero value is ready to use, and safe for concurrent use.
//
// To miss nothing, do it in this order: add, then check, then serve; and on each event ask Affected, and check again each that it
// returns. The interleaving that this order survives:
//
//  1. the request's session is checked: active;
//  2. the event is applied, and Affected asked: the request isn't there yet;
//  3. the request is added, and lives on for ever.
type Live[T any] struct {
	mu sync.Mutex
	// byID: session, user or tenant → its entries. Revocations of devices and clients are rare, and walk all of their tenant's.
	byID map[key]map[*LiveEntry[T]]struct{}
	// n counts the entries.
	n int
}

// LiveEntry is one thing in the index. Its Session must not change while it is there.
type LiveEntry[T any] struct {
	Session Session
	Value   T
}

// Add puts a thing into the index. The caller removes the entry when the thing ends.
func (l *Live[T]) Add(s Session, value T) *LiveEntry[T] {
	e := &LiveEntry[T]{Session: s, Value: value}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byID == nil {
		l.byID = map[key]map[*LiveEntry[T]]struct{}{}
	}
	for _, k := range liveKeys(s) {
		if k.id == "" {
			continue
		}
		if l.byID[k] == nil {
			l.byID[k] = map[*LiveEntry[T]]struct{}{}
		}
		l.byID[k][e] = struct{}{}
	}
	l.n++
	return e
}

// Remove takes an entry out; it does nothing if the entry isn't there.
func (l *Live[T]) Remove(e *LiveEntry[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := liveKeys(e.Session)
	// Every entry stands under its tenant.
	if _, there := l.byID[keys[len(keys)-1]][e]; !there {
		return
	}
	l.n--
	for _, k := range keys {
		delete(l.byID[k], e)
		if len(l.byID[k]) == 0 {
			delete(l.byID, k)
		}
	}
}

// Len returns the number of entries.
func (l *Live[T]) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// User returns the entries of a user, in no order. An empty tenant means events.DefaultTenant.
func (l *Live[T]) User(tenant, user string) []*LiveEntry[T] {
	k := key{Session{Tenant: tenant}.tenant(), events.KindUser, user}
	l.mu.Lock()
	defer l.mu.Unlock()
	return collect(nil, l.byID[k], nil)
}

// All returns all entries, in no order.
func (l *Live[T]) All() []*LiveEntry[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*LiveEntry[T]
	for k, entries := range l.byID {
		if k.kind == events.KindTenant {
			all = collect(all, entries, nil)
		}
	}
	return all
}

// Affected returns the entries that e may end, each once, in no order. Whether it does is for Check to say: the index knows nothing
// of cutoffs and exceptions.
func (l *Live[T]) Affected(e events.Event) []*LiveEntry[T] {
	tenant := e.Meta().Tenant
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e := e.(type) {
	case *events.SessionRevoked:
		return collect(nil, l.byID[key{tenant, events.KindSession, e.Session}], nil)
	case *events.UserLoggedOutEverywhere:
		found := collect(nil, l.byID[key{tenant, events.KindUser, e.User}], nil)
		// An event may name a session twice, and an entry is returned once.
		for _, sid := range slices.Compact(slices.Sorted(slices.Values(e.KnownSessions))) {
			// A session that is known to be the user's may have come without a user.
			other := func(s Session) bool { return s.User != e.User }
			found = collect(found, l.byID[key{tenant, events.KindSession, sid}], other)
		}
		return found
	case *events.DeviceLoggedOut:
		return collect(nil, l.byID[key{tenant, events.KindTenant, tenant}], func(s Session) bool { return s.Device == e.Device })
	case *events.ClientLoggedOut:
		return collect(nil, l.byID[key{tenant, events.KindTenant, tenant}], func(s Session) bool { return s.Client == e.Client })
	}
	return collect(nil, l.byID[key{tenant, events.KindTenant, tenant}], nil)
}

func collect[T any](into []*LiveEntry[T], from map[*LiveEntry[T]]struct{}, match func(Session) bool) []*LiveEntry[T] {
	for e := range from {
		if match == nil || match(e.Session) {
			into = append(into, e)
		}
	}
	return into
}

func liveKeys(s Session) [3]key {
	t := s.tenant()
	return [3]key{{t, events.KindSession, s.ID}, {t, events.KindUser, s.User}, {t, events.KindTenant, t}}
}
