package sessionkv

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/sessionstore"
)

// heard is what the bucket has told since it was last told from its beginning, and changed by that alone, in the bucket's order: so every process has the same. Only what the bucket doesn't hold
// any more is forgotten beside that. Nothing is kept from before, when the bucket may have been another: one that somebody has put back, or whose last moments a crash has taken.
type heard struct {
	table *sessionstore.Table
	// names: name in the bucket → key.
	names map[string]sessionstore.Key
	// early: name → latest touch of a session that wasn't told yet, while there can be such. Nil afterwards.
	early map[string]time.Time
	// applied is the revision up to which the bucket was told.
	applied uint64
	// made is how often the connection had been made again before that.
	made uint64
}

func nothingHeard() heard {
	return heard{table: sessionstore.NewTable(), names: map[string]sessionstore.Key{}, early: map[string]time.Time{}}
}

// rereading is the store's bucket, and tells the store when it is about to be told from its beginning.
type rereading struct {
	jetstream.KeyValue
	store *Store
}

// WatchAll does what jetstream.KeyValue says.
func (r rereading) WatchAll(ctx context.Context, opts ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	made := r.store.made() // before the watch: one that was begun over a connection before this one may have missed something
	w, err := r.KeyValue.WatchAll(ctx, opts...)
	if err == nil {
		r.store.begin(made)
	}
	return w, err
}

// made returns how often the connection has been made again.
func (s *Store) made() uint64 { return s.conn.Stats().Reconnects }

// begin has what is told from now on heard anew, over a connection that has been made so often.
func (s *Store) begin(made uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := nothingHeard()
	h.made = made
	s.anew = &h
}

// over returns how often the connection had been made again when the bucket began to be told.
func (s *Store) over() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.heard.made
}

// complete returns what the bucket has told from its beginning; nil while it is being told so.
func (s *Store) complete() *sessionstore.Table {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.anew != nil {
		return nil
	}
	return s.table
}

// settle says that the bucket held nothing beyond a revision when it had told what complete returned, or later. A session whose entry was written while the bucket was read is told of only
// there, and the server says a moment too early that it has told everything: it counts what it has yet to send a moment late.
func (s *Store) settle(complete *sessionstore.Table, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.table == complete && s.applied >= last {
		s.early = nil
	}
}

// applySession takes the state of a session. A name that isn't the session's is none that Curfew has written.
func (h *heard) applySession(entry jetstream.KeyValueEntry, cfg Config) {
	session, err := sessionstore.Decode(entry.Value())
	if err != nil || cfg.Hasher.Session(session.Key()) != entry.Key() {
		h.remove(entry)
		return
	}
	if h.table.Put(session, entry.Revision(), cfg.Due(session)) {
		h.names[entry.Key()] = session.Key()
	}
	if seen, ok := h.early[entry.Key()]; ok {
		delete(h.early, entry.Key())
		h.table.Before(session.Key(), seen, cfg.Due)
	}
}

// remove forgets what the bucket holds no session of any more.
func (h *heard) remove(entry jetstream.KeyValueEntry) {
	delete(h.early, entry.Key())
	key, known := h.names[entry.Key()]
	if !known {
		return
	}
	if _, revision, _ := h.table.Get(key); revision < entry.Revision() {
		h.table.Remove(key)
		delete(h.names, entry.Key())
	}
}

// applySheet takes touches. While the bucket is read from its beginning, those of a session come before its state where that was written later.
func (h *heard) applySheet(entry jetstream.KeyValueEntry, cfg Config) {
	for name, at := range readSheet(entry.Value()) {
		if key, known := h.names[name]; known {
			h.table.Touch(key, at, entry.Revision(), cfg.Due)
		} else if h.early != nil && at.After(h.early[name]) {
			h.early[name] = at
		}
	}
}
