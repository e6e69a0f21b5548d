package sessionkv

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

// between calls meanwhile once, after what is published was stored and before its publisher hears so.
type between struct {
	jetstream.JetStream
	meanwhile func()
}

func (b *between) PublishMsg(ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := b.JetStream.PublishMsg(ctx, msg, opts...)
	if meanwhile := b.meanwhile; meanwhile != nil && err == nil {
		b.meanwhile = nil
		meanwhile()
	}
	return ack, err
}

// alone ends what a store does in the background, but for following.
func alone(s *Store) {
	s.stop()
	s.work.Wait()
}

func begun(t *testing.T, s *Store, id string) sessionstore.Session {
	t.Helper()
	at := time.Now().UTC().Truncate(time.Millisecond).Add(-time.Minute)
	session := sessionstore.Session{Tenant: "acme", ID: id, User: "ada", AuthTime: at, CreatedAt: at, SeenAt: at, ExpiresAt: at.Add(time.Hour)}
	if _, _, err := s.Create(t.Context(), session, session.ExpiresAt); err != nil {
		t.Fatal(err)
	}
	return session
}

func pending(s sessionstore.Session, event string) sessionstore.End {
	return sessionstore.End{At: s.SeenAt.Add(time.Minute), Reason: events.ReasonIdleTimeout, Event: event}
}

// caughtUp waits until stores have heard of everything.
func caughtUp(t *testing.T, stores ...*Store) {
	t.Helper()
	var info *jetstream.StreamInfo
	eventually(t, "told what the bucket holds", func() (ok bool) {
		var err error
		info, err = stores[0].stream.Info(t.Context())
		return err == nil
	})
	for _, s := range stores {
		eventually(t, "told all of it", func() bool { return s.reached(t.Context(), info.State.LastSeq) == nil })
	}
}

func holds(t *testing.T, want sessionstore.Session, stores ...*Store) {
	t.Helper()
	caughtUp(t, stores...)
	for i, s := range stores {
		got, _, _ := s.get(want.Key())
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("store %d (-want +got):\n%s", i, diff)
		}
	}
}

func touchAt(t *testing.T, s *Store, session sessionstore.Session, at time.Time) sessionstore.Touched {
	t.Helper()
	got, err := s.Touch(t.Context(), session.Tenant, []sessionstore.Touch{{ID: session.ID, At: at}})
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

// stale has change believe at first that a session is as it was.
func stale(was sessionstore.Session, by func(sessionstore.Session) (sessionstore.Session, bool), meanwhile func()) func(sessionstore.Session) (sessionstore.Session, bool) {
	first := true
	return func(now sessionstore.Session) (sessionstore.Session, bool) {
		if first {
			first = false
			meanwhile()
			now = was
		}
		return by(now)
	}
}

// TestOneOfTwoClaimsHolds: a claim doesn't hold, because of a touch before it, and before its writer looks, somebody else claims the session by that touch. Only that one has it.
func TestOneOfTwoClaimsHolds(t *testing.T) {
	b := natstest.Bus(t)
	mine, theirs := openOver(t, b), openOver(t, b)
	session := begun(t, mine, "s-1")
	caughtUp(t, mine, theirs)
	later := session.SeenAt.Add(time.Second)
	alone(mine)
	mine.js = &between{JetStream: mine.js, meanwhile: func() {
		caughtUp(t, theirs)
		if _, ended, err := theirs.End(t.Context(), session.Key(), pending(session, "theirs"), later); err != nil || !ended {
			t.Errorf("their claim: %v, %v", ended, err)
		}
		caughtUp(t, mine)
	}}
	var ended bool
	err := mine.change(t.Context(), session.Key(), stale(session, func(s sessionstore.Session) (after sessionstore.Session, ok bool) {
		after, ended = s.End(pending(session, "mine"), session.SeenAt)
		return after, ended
	}, func() { touchAt(t, theirs, session, later) }))
	if err != nil || ended {
		t.Errorf("my claim goes by an earlier touch, and they have claimed the session: %v, %v", ended, err)
	}
	end := pending(session, "theirs")
	session.SeenAt, session.Ended = later, &end
	holds(t, session, mine, theirs, openOver(t, b))
}

// TestFoldLeavesClaims: somebody claims a session just when its entry is to tell of its touches. Were the claim written again, a touch that was refused because of it would lie before it.
func TestFoldLeavesClaims(t *testing.T) {
	b := natstest.Bus(t)
	mine, theirs := openOver(t, b), openOver(t, b)
	session := begun(t, mine, "s-1")
	session.SeenAt = session.SeenAt.Add(time.Second)
	touchAt(t, mine, session, session.SeenAt)
	mine.mu.RLock()
	keys := mine.table.Behind(time.Now())
	mine.mu.RUnlock()
	if len(keys) != 1 {
		t.Fatal(keys)
	}
	caughtUp(t, theirs)
	end := pending(session, "e-1")
	if _, ended, err := theirs.End(t.Context(), session.Key(), end, session.SeenAt); err != nil || !ended {
		t.Fatal(ended, err)
	}
	caughtUp(t, mine)
	// Who has heard of the claim writes none; this one is told by somebody who hasn't.
	if _, err := mine.publish(t.Context(), mine.sheet(map[sessionstore.Key]sessionstore.Session{session.Key(): {SeenAt: session.SeenAt.Add(time.Second)}})); err != nil {
		t.Fatal(err)
	}
	mine.foldAll(t.Context(), keys)
	session.Ended = &end
	holds(t, session, mine, theirs, openOver(t, b))
}

// TestVoidClaimsGo: a claim or a warning that doesn't hold is gone from the session's entry, and so doesn't come to hold when the sheet expires that tells why it doesn't.
func TestVoidClaimsGo(t *testing.T) {
	b := natstest.Bus(t)
	s, other := openOver(t, b), openOver(t, b)
	for id, by := range map[string]func(sessionstore.Session) (sessionstore.Session, bool){
		"claimed": func(s sessionstore.Session) (sessionstore.Session, bool) {
			return s.End(pending(s, "e-1"), s.CreatedAt)
		},
		"warned": func(s sessionstore.Session) (sessionstore.Session, bool) { return s.Warn(s.CreatedAt) },
	} {
		session := begun(t, s, id)
		caughtUp(t, s, other)
		was := session
		session.SeenAt = session.SeenAt.Add(time.Second)
		if err := s.change(t.Context(), session.Key(), stale(was, by, func() { touchAt(t, other, session, session.SeenAt) })); err != nil {
			t.Fatal(err)
		}
		if err := s.stream.Purge(t.Context(), jetstream.WithPurgeSubject(s.prefix+sheetPrefix+">")); err != nil {
			t.Fatal(err)
		}
		holds(t, session, s, other, openOver(t, b))
	}
}

// behindOthers is a stream whose leader has just become so, and doesn't know yet what comes after a revision.
type behindOthers struct {
	jetstream.Stream
	upTo uint64
}

func (b behindOthers) GetLastMsgForSubject(context.Context, string) (*jetstream.RawStreamMsg, error) {
	return nil, jetstream.ErrMsgNotFound
}

func (b behindOthers) Info(ctx context.Context, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	info, err := b.Stream.Info(ctx, opts...)
	if err == nil {
		info.State.LastSeq = b.upTo
	}
	return info, err
}

// TestNewLeaderKnowsLess: a stream's new leader is asked before it knows everything. What it doesn't know isn't gone.
func TestNewLeaderKnowsLess(t *testing.T) {
	s := openOver(t, natstest.Bus(t))
	session := begun(t, s, "s-1")
	_, revision, _ := s.get(session.Key())
	known := s.stream
	alone(s)
	s.stream = behindOthers{known, revision - 1}
	if _, ended, err := s.End(t.Context(), session.Key(), pending(session, "e-1"), session.SeenAt.Add(-time.Second)); ended || !errors.Is(err, sessionstore.ErrUnavailable) {
		t.Errorf("nobody can tell: %v, %v", ended, err)
	}
	s.stream = known
	holds(t, session, s)
}
