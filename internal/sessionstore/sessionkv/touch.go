package sessionkv

import (
	"context"
	"crypto/rand"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/sessionstore"
)

// Touch does what sessionstore.Store says. All of them are one message, which the bucket puts into one order with what ends sessions: what came before what is the same for every process.
func (s *Store) Touch(ctx context.Context, tenant string, touches []sessionstore.Touch) ([]sessionstore.Touched, error) {
	if err := s.available(); err != nil {
		return nil, err
	}
	out := make([]sessionstore.Touched, len(touches))
	// later holds the sessions that there is something to store of, as they will be, and firsts the first touch of each.
	later := make(map[sessionstore.Key]sessionstore.Session, len(touches))
	firsts := make(map[int]sessionstore.Key, len(touches))
	for i, touch := range touches {
		key := sessionstore.Key{Tenant: tenant, ID: touch.ID}
		session, again := later[key]
		if !again {
			var ok bool
			if session, _, ok = s.get(key); !ok {
				continue
			}
		}
		after, touched, changed := session.Touch(touch.At.Truncate(time.Millisecond))
		if out[i] = touched; changed {
			later[key] = after
			if !again {
				firsts[i] = key
			}
		}
	}
	if len(later) == 0 {
		return out, nil
	}
	revision, err := s.publish(ctx, s.sheet(later))
	if err != nil {
		return nil, err
	}
	s.outcomes(tenant, touches, firsts, revision, out)
	return out, nil
}

// outcomes says what became of touches that are stored: another process may have been faster with what we hadn't heard of.
func (s *Store) outcomes(tenant string, touches []sessionstore.Touch, firsts map[int]sessionstore.Key, revision uint64, out []sessionstore.Touched) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i, touch := range touches {
		if out[i].Outcome != sessionstore.Taken {
			continue
		}
		key := sessionstore.Key{Tenant: tenant, ID: touch.ID}
		session, _, ok := s.table.Get(key)
		_, first := firsts[i]
		switch {
		case !ok:
			out[i] = sessionstore.Touched{}
		case session.Ended != nil:
			out[i] = sessionstore.Touched{Outcome: sessionstore.Over, SeenAt: session.SeenAt}
		default:
			out[i].Renewed = first && s.table.Renewed(key) == revision
		}
	}
}

const (
	// sheetPrefix begins the keys of entries that hold touches; the names of sessions have no dot.
	sheetPrefix = "touched."
	// sheetKept is for how long they are kept: foldTouches has long had the sessions' own entries tell of them.
	sheetKept = 15 * time.Minute
)

// sheet is the message that tells of the last touches of sessions.
func (s *Store) sheet(sessions map[sessionstore.Key]sessionstore.Session) *nats.Msg {
	b := newSheet(len(sessions))
	for key, session := range sessions {
		b = appendTouch(b, s.cfg.Hasher.Session(key), session.SeenAt)
	}
	return &nats.Msg{Subject: s.prefix + sheetPrefix + rand.Text(), Data: b, Header: nats.Header{
		jetstream.MsgTTLHeader: {strconv.Itoa(int(sheetKept/time.Second)) + "s"},
	}}
}
