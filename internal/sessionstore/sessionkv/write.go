package sessionkv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/sessionstore"
)

// writeTimeout is how long a write waits for its acknowledgement, and then until the bucket tells of it.
const writeTimeout = 2 * time.Second

// attempts is how often a write is tried that others were faster with. Each of those has changed the session, which few do at once.
const attempts = 20

// errConflict is returned for a write that somebody else was faster with.
var errConflict = errors.New("somebody else was faster")

// Create does what sessionstore.Store says.
func (s *Store) Create(ctx context.Context, session sessionstore.Session, due time.Time) (sessionstore.Session, bool, error) {
	if err := s.available(); err != nil {
		return sessionstore.Session{}, false, err
	}
	name := s.cfg.Hasher.Session(session.Key())
	var last uint64
	for i := range attempts {
		if stored, _, ok := s.get(session.Key()); ok {
			return stored, false, nil
		}
		err := s.write(ctx, name, session, last)
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.table.Postpone(session.Key(), due)
			return session, true, nil
		}
		if !errors.Is(err, errConflict) {
			return sessionstore.Session{}, false, err
		}
		// It is there, and we haven't heard of it; or it has expired, and what is left of it is in the way.
		if last, err = s.reread(ctx, name, i); err != nil {
			return sessionstore.Session{}, false, err
		}
	}
	return sessionstore.Session{}, false, contended()
}

// Warn does what sessionstore.Store says.
func (s *Store) Warn(ctx context.Context, key sessionstore.Key, seen time.Time) (bool, error) {
	return sessionstore.Change(s.change).Warn(ctx, key, seen)
}

// End does what sessionstore.Store says.
func (s *Store) End(ctx context.Context, key sessionstore.Key, end sessionstore.End, seen time.Time) (sessionstore.Session, bool, error) {
	return sessionstore.Change(s.change).End(ctx, key, end, seen)
}

// change applies a change to a session, again and again where others were faster, and stores what it returns unless it says that nothing changed.
func (s *Store) change(ctx context.Context, key sessionstore.Key, by func(sessionstore.Session) (after sessionstore.Session, changed bool)) error {
	if err := s.available(); err != nil {
		return err
	}
	name := s.cfg.Hasher.Session(key)
	var sure uint64 // the revision that the server has told
	for i := range attempts {
		session, last, ok := s.get(key)
		after, changed := session, false
		if ok {
			after, changed = by(session)
		}
		if !changed {
			// Another process may have written what we haven't heard of yet.
			told, err := s.reread(ctx, name, 0)
			if err != nil {
				return err
			}
			if told > last && told != sure {
				sure = told
				continue
			}
			if !ok {
				return sessionstore.ErrUnknown
			}
			return nil
		}
		err := s.write(ctx, name, after, last)
		if err == nil {
			now, revision, ok := s.get(key)
			if !ok || stands(after, now) {
				return nil
			}
			// It was touched before that was stored: see sessionstore.Session.After. What doesn't hold mustn't come to hold once the sheet that tells so has expired.
			if now.Ended == nil {
				_ = s.write(ctx, name, now, revision) // if that fails, the session's touches are written some minutes later
			}
			continue
		}
		if !errors.Is(err, errConflict) {
			return err
		}
		if _, err := s.reread(ctx, name, i); err != nil {
			return err
		}
	}
	return contended()
}

// stands reports whether a session is as it was written, now that the bucket has told of that: another's claim, or end, is another end.
func stands(written, now sessionstore.Session) bool {
	switch {
	case written.Ended != nil:
		return now.Ended != nil && now.Ended.Event == written.Ended.Event
	case written.Warned:
		return now.Warned
	}
	return true
}

func contended() error {
	return fmt.Errorf("%w: others write the same session at the same time, and were faster %d times", sessionstore.ErrUnavailable, attempts)
}

// reread looks what the bucket holds by a name, and returns the revision of that, even where it isn't a session; 0 for nothing. That is what counts, whatever is in memory: the bucket may have
// been purged, or made anew. Who comes back for the same thing waits a moment first.
func (s *Store) reread(ctx context.Context, name string, turn int) (uint64, error) {
	if turn > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond + rand.N(time.Duration(turn)*5*time.Millisecond)):
		}
	}
	before := s.heldAs(name)
	revision, err := s.last(ctx, name)
	if err == nil && revision < before {
		revision, err = s.lastForSure(ctx, name)
	}
	if err != nil {
		return 0, err
	}
	if err := s.reached(ctx, revision); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if key, known := s.names[name]; known {
		// What we had before we asked, and the bucket hasn't, is gone. What has come since then stays.
		if _, held, _ := s.table.Get(key); held == before && held > revision {
			s.table.Remove(key)
			delete(s.names, name)
		}
	}
	return revision, nil
}

// last returns the revision of what the bucket holds by a name; 0 for nothing.
func (s *Store) last(ctx context.Context, name string) (uint64, error) {
	msg, err := s.stream.GetLastMsgForSubject(ctx, s.prefix+name)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, nil
	case err != nil:
		return 0, writeError(err)
	}
	return msg.Sequence, nil
}

// lastForSure does what last does where less was found than we have. A server that has just become the stream's leader answers before it knows all that we have heard from the others.
func (s *Store) lastForSure(ctx context.Context, name string) (uint64, error) {
	heard := s.highest()
	asking, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	info, err := s.stream.Info(asking)
	if err != nil {
		return 0, writeError(err)
	}
	if info.State.LastSeq < heard {
		return 0, fmt.Errorf("%w: the bucket holds less than it did: it is read anew unless its server finds the rest", sessionstore.ErrUnavailable)
	}
	return s.last(ctx, name)
}

// heldAs returns the revision of what is in memory by a name; 0 for nothing.
func (s *Store) heldAs(name string) uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, revision, _ := s.table.Get(s.names[name])
	return revision
}

// write stores a session where the bucket holds what is known by its revision, 0 for nothing, and waits until the bucket has told of it.
func (s *Store) write(ctx context.Context, name string, session sessionstore.Session, last uint64) error {
	_, err := s.publish(ctx, s.message(name, session, last))
	return err
}

// publish stores a message, and waits until the bucket has told of it. It returns its revision.
func (s *Store) publish(ctx context.Context, msg *nats.Msg) (uint64, error) {
	bounded, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	ack, err := s.js.PublishMsg(bounded, msg)
	if err != nil {
		return 0, writeError(err)
	}
	return ack.Sequence, s.reached(ctx, ack.Sequence)
}

// message is a session on its way into the bucket, which forgets it by itself.
func (s *Store) message(name string, session sessionstore.Session, last uint64) *nats.Msg {
	kept := max(time.Until(session.KeptUntil()), time.Second)
	return &nats.Msg{Subject: s.prefix + name, Data: sessionstore.Encode(session), Header: nats.Header{
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(last, 10)},
		jetstream.MsgTTLHeader:              {strconv.FormatInt(int64(kept/time.Second)+1, 10) + "s"},
	}}
}

// writeError says which errors mean what.
func writeError(err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant):
		return errConflict
	}
	return fmt.Errorf("%w: %w", sessionstore.ErrUnavailable, err)
}
