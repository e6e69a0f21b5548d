package sessionstore

import (
	"context"
	"sync"
	"time"
)

// Memory is a Store in the memory of one process, for tests: what it holds ends with it.
type Memory struct {
	mu       sync.Mutex
	table    *Table // guarded by mu
	revision uint64 // guarded by mu
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{table: NewTable()} }

// Create does what Store says.
func (m *Memory) Create(_ context.Context, s Session, due time.Time) (Session, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.get(s.Key()); ok {
		return old, false, nil
	}
	m.put(s, due)
	return s, true, nil
}

// Session does what Store says.
func (m *Memory) Session(_ context.Context, key Key) (Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.get(key); ok {
		return s, nil
	}
	return Session{}, ErrUnknown
}

// Sessions does what Store says.
func (m *Memory) Sessions(_ context.Context, tenant, user string, limit int) ([]Session, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list, more := m.table.Sessions(tenant, user, limit, time.Now())
	return list, more, nil
}

// Walk does what Store says.
func (m *Memory) Walk(_ context.Context, tenant string, most int, each func(Session)) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.table.Walk(tenant, most, time.Now(), each), nil
}

// Touch does what Store says.
func (m *Memory) Touch(_ context.Context, tenant string, touches []Touch) ([]Touched, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Touched, len(touches))
	for i, touch := range touches {
		s, ok := m.get(Key{tenant, touch.ID})
		if !ok {
			continue
		}
		after, touched, changed := s.Touch(touch.At)
		if out[i] = touched; changed {
			m.put(after, time.Time{})
		}
	}
	return out, nil
}

// Warn does what Store says.
func (m *Memory) Warn(_ context.Context, key Key, seen time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.get(key)
	if !ok {
		return false, nil
	}
	after, ok := s.Warn(seen)
	if ok {
		m.put(after, time.Time{})
	}
	return ok, nil
}

// End does what Store says.
func (m *Memory) End(_ context.Context, key Key, end End, seen time.Time) (Session, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.get(key)
	if !ok {
		return Session{}, false, ErrUnknown
	}
	after, ok := s.End(end, seen)
	if ok {
		m.put(after, time.Time{})
	}
	return after, ok, nil
}

// Due does what Store says.
func (m *Memory) Due(_ context.Context, at time.Time, limit int) ([]Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.table.Due(at, limit), nil
}

// Postpone does what Store says.
func (m *Memory) Postpone(_ context.Context, key Key, next time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.table.Postpone(key, next)
	return nil
}

// Hasten does what Store says.
func (m *Memory) Hasten(_ context.Context, next time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.table.Hasten(next)
	return nil
}

// Ping finds it there.
func (m *Memory) Ping(context.Context) error { return nil }

// Close does nothing.
func (m *Memory) Close() error { return nil }

func (m *Memory) get(key Key) (Session, bool) {
	s, _, ok := m.table.Get(key)
	return s, ok && s.KeptUntil().After(time.Now())
}

func (m *Memory) put(s Session, due time.Time) {
	m.revision++
	m.table.Put(s, m.revision, due)
}
