package sessionstore

import (
	"container/heap"
	"slices"
	"time"
)

// Table holds sessions in memory, by their key, by their user, and by when they are due. It isn't safe for concurrent use.
type Table struct {
	rows map[Key]*row
	// users: tenant and user → their rows, in the order in which they came.
	users map[account][]*row
	due   dueRows
	// behind are the rows that were touched after what the store holds by their revision, each with the first such touch.
	behind map[*row]time.Time
	// words are strings that many sessions share.
	words map[string]string
}

type account struct{ tenant, user string }

type row struct {
	session Session
	// revision is the store's, for those that have one; renewed is that of the touch which last took back a warning.
	revision, renewed uint64
	// due is when the session is due; index is its place among those that are, and -1 if it never is.
	due   time.Time
	index int
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{rows: map[Key]*row{}, users: map[account][]*row{}, behind: map[*row]time.Time{}, words: map[string]string{}}
}

// Len returns how many sessions there are.
func (t *Table) Len() int { return len(t.rows) }

// Get returns a session and its revision.
func (t *Table) Get(key Key) (s Session, revision uint64, ok bool) {
	r := t.rows[key]
	if r == nil {
		return Session{}, 0, false
	}
	return r.session, r.revision, true
}

// Put takes a state of a session unless it has a later one, and reports whether it did. A new session is due at due, and so is one whose warning was taken back; of another that is there
// already, when it is due is kept, but that one whose end isn't pending is never due. The user of a session doesn't change, nor when it was created: an id that is used again after it was forgotten is another session.
//
// Whoever wrote the state may not have known of the touches that were told to Touch: see Session.After.
func (t *Table) Put(s Session, revision uint64, due time.Time) bool {
	r := t.rows[s.Key()]
	if r != nil && r.revision > revision {
		return false
	}
	if r != nil && (r.session.User != s.User || !r.session.CreatedAt.Equal(s.CreatedAt)) {
		t.Remove(s.Key())
		r = nil
	}
	if r == nil {
		r = &row{index: -1}
		t.intern(&s)
		t.rows[s.Key()] = r
		a := account{s.Tenant, s.User}
		t.users[a] = append(t.users[a], r)
		r.session = s
		t.postpone(r, due)
	} else {
		s.Tenant, s.ID, s.User, s.Device, s.Client = r.session.Tenant, r.session.ID, r.session.User, r.session.Device, r.session.Client
		s.Agent, s.Network = r.session.Agent, r.session.Network
		before := s.SeenAt
		s = s.After(r.session.SeenAt)
		t.setBehind(r, before, s.SeenAt)
		renewed := r.session.Warned && !s.Warned && !due.IsZero()
		r.session = s
		if renewed {
			t.postpone(r, due)
		}
	}
	r.revision = revision
	if s.Ended != nil && !s.Ended.Pending() {
		t.postpone(r, time.Time{})
	}
	return true
}

// Touch takes a touch that the store holds by a revision of its own, beside the session's state. A session whose warning it takes back is due when due says.
func (t *Table) Touch(key Key, at time.Time, revision uint64, due func(Session) time.Time) {
	r := t.rows[key]
	if r == nil {
		return
	}
	after, touched, changed := r.session.Touch(at)
	if !changed {
		return
	}
	t.setBehind(r, r.session.SeenAt, after.SeenAt)
	r.session = after
	if touched.Renewed {
		r.renewed = revision
		t.postpone(r, due(after))
	}
}

// Before takes a touch that the store had before it got the state of a session that was put last.
func (t *Table) Before(key Key, seen time.Time, due func(Session) time.Time) {
	r := t.rows[key]
	if r == nil {
		return
	}
	after := r.session.After(seen)
	if after.SeenAt.Equal(r.session.SeenAt) {
		return
	}
	t.setBehind(r, r.session.SeenAt, after.SeenAt)
	r.session = after
	t.postpone(r, due(after))
}

// setBehind notes whether the store holds a row by its revision as it is.
func (t *Table) setBehind(r *row, held, seen time.Time) {
	if held.Equal(seen) {
		delete(t.behind, r)
	} else if _, ok := t.behind[r]; !ok {
		t.behind[r] = seen
	}
}

// Renewed returns the revision of the touch that last took back a warning of a session; 0 for none.
func (t *Table) Renewed(key Key) uint64 {
	if r := t.rows[key]; r != nil {
		return r.renewed
	}
	return 0
}

// Behind returns the sessions whose state in the store doesn't tell of touches at a time or before.
func (t *Table) Behind(since time.Time) (keys []Key) {
	for r, at := range t.behind {
		if !at.After(since) {
			keys = append(keys, r.session.Key())
		}
	}
	return keys
}

// intern has equal words share their memory.
func (t *Table) intern(s *Session) {
	for _, word := range []*string{&s.Tenant, &s.Client, &s.Agent.Browser, &s.Agent.OS, &s.Agent.Form} {
		if kept, ok := t.words[*word]; ok {
			*word = kept
		} else if len(t.words) < maxWords {
			t.words[*word] = *word
		}
	}
}

// maxWords bounds what is shared: some of it is what browsers say.
const maxWords = 1 << 14

// Remove forgets a session.
func (t *Table) Remove(key Key) {
	r := t.rows[key]
	if r == nil {
		return
	}
	t.postpone(r, time.Time{})
	delete(t.behind, r)
	delete(t.rows, key)
	a := account{r.session.Tenant, r.session.User}
	t.users[a] = slices.DeleteFunc(t.users[a], func(other *row) bool { return other == r })
	if len(t.users[a]) == 0 {
		delete(t.users, a)
	}
}

// Prune forgets the sessions that are kept no longer, and returns their keys.
func (t *Table) Prune(now time.Time) (gone []Key) {
	for key, r := range t.rows {
		if !r.session.KeptUntil().After(now) {
			gone = append(gone, key)
			t.Remove(key)
		}
	}
	return gone
}

// Below forgets the sessions whose revision is below one, and returns their keys.
func (t *Table) Below(revision uint64) (gone []Key) {
	for key, r := range t.rows {
		if r.revision < revision {
			gone = append(gone, key)
		}
	}
	for _, key := range gone {
		t.Remove(key)
	}
	return gone
}

// Sessions returns a user's sessions that are still kept, as Store.Sessions does.
func (t *Table) Sessions(tenant, user string, limit int, now time.Time) (list []Session, more bool) {
	for _, r := range t.users[account{tenant, user}] {
		if r.session.KeptUntil().After(now) {
			list = append(list, r.session)
		}
	}
	slices.SortStableFunc(list, func(a, b Session) int {
		if a.over() != b.over() {
			if a.over() {
				return 1
			}
			return -1
		}
		return b.CreatedAt.Compare(a.CreatedAt)
	})
	if len(list) > limit {
		return list[:limit], true
	}
	return list, false
}

// Walk does what Store.Walk says.
func (t *Table) Walk(tenant string, most int, now time.Time, each func(Session)) (more bool) {
	for key, r := range t.rows {
		if most == 0 {
			return true
		}
		most--
		if key.Tenant == tenant && r.session.GoesOn(now) {
			each(r.session)
		}
	}
	return false
}

// Due returns what Store.Due does.
func (t *Table) Due(at time.Time, limit int) []Key {
	var taken []*row
	for len(t.due) > 0 && len(taken) < limit && !t.due[0].due.After(at) {
		taken = append(taken, heap.Pop(&t.due).(*row))
	}
	keys := make([]Key, len(taken))
	for i, r := range taken {
		keys[i] = r.session.Key()
		heap.Push(&t.due, r)
	}
	return keys
}

// Postpone does what Store.Postpone does.
func (t *Table) Postpone(key Key, next time.Time) {
	if r := t.rows[key]; r != nil {
		t.postpone(r, next)
	}
}

// Hasten does what Store.Hasten does.
func (t *Table) Hasten(next time.Time) {
	for _, r := range t.rows {
		if (r.session.Ended == nil || r.session.Ended.Pending()) && (r.index < 0 || r.due.After(next)) {
			t.postpone(r, next)
		}
	}
}

func (t *Table) postpone(r *row, next time.Time) {
	r.due = next
	switch {
	case next.IsZero() && r.index >= 0:
		heap.Remove(&t.due, r.index)
	case next.IsZero():
	case r.index >= 0:
		heap.Fix(&t.due, r.index)
	default:
		heap.Push(&t.due, r)
	}
}

// dueRows is a heap.
type dueRows []*row

func (d dueRows) Len() int           { return len(d) }
func (d dueRows) Less(i, j int) bool { return d[i].due.Before(d[j].due) }
func (d dueRows) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i, j
}

// Push and Pop are heap's.
func (d *dueRows) Push(x any) {
	r := x.(*row)
	r.index = len(*d)
	*d = append(*d, r)
}

func (d *dueRows) Pop() any {
	old := *d
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	r.index = -1
	return r
}
