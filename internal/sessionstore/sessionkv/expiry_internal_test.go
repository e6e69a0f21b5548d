package sessionkv

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

// TestRegisteredAgainAfterExpiry: a session is touched until it is forgotten, and registered again under its id. Touches of the first are none of the second's, whoever has heard what.
func TestRegisteredAgainAfterExpiry(t *testing.T) {
	b := natstest.Bus(t)
	first, second := openOver(t, b), openOver(t, b)
	at := time.Now().UTC().Truncate(time.Millisecond)
	old := sessionstore.Session{
		Tenant: "acme", ID: "s-1", User: "ada", Device: "old", AuthTime: at, CreatedAt: at.Add(-time.Hour), SeenAt: at.Add(-time.Hour),
		ExpiresAt: at.Add(300*time.Millisecond - sessionstore.KeepEnded),
	}
	if _, _, err := first.Create(t.Context(), old, old.ExpiresAt); err != nil {
		t.Fatal(err)
	}
	caughtUp(t, first, second)
	touchAt(t, second, old, at)
	eventually(t, "forgotten", func() bool {
		_, err := first.Session(t.Context(), old.Key())
		return errors.Is(err, sessionstore.ErrUnknown)
	})
	again := old
	again.Device = "new"
	again.CreatedAt = time.Now().UTC().Truncate(time.Millisecond)
	again.SeenAt, again.ExpiresAt = again.CreatedAt, again.CreatedAt.Add(time.Hour)
	if got, created, err := second.Create(t.Context(), again, again.ExpiresAt); err != nil || !created {
		t.Fatal(got, created, err)
	}
	holds(t, again, first, second, openOver(t, b))
	again.SeenAt = again.SeenAt.Add(time.Second)
	touchAt(t, first, again, again.SeenAt)
	late := openOver(t, b)
	holds(t, again, first, second, late)
	for i, s := range []*Store{first, second, late} {
		s.mu.RLock()
		if len(s.names) != 1 || len(s.early) != 0 {
			t.Errorf("store %d: names %v, early %v", i, s.names, s.early)
		}
		s.mu.RUnlock()
	}
}

// TestTheBucketForgets: a session's own entry is gone from the bucket with its time, without anybody's doing, and so is a sheet of touches; one that is still kept stays.
func TestTheBucketForgets(t *testing.T) {
	s := openOver(t, natstest.Bus(t))
	at := time.Now().UTC().Truncate(time.Millisecond)
	session := func(id string, kept time.Duration) sessionstore.Session {
		return sessionstore.Session{
			Tenant: "acme", ID: id, User: "ada", AuthTime: at, CreatedAt: at.Add(-time.Hour), SeenAt: at.Add(-time.Hour), ExpiresAt: at.Add(kept - sessionstore.KeepEnded),
		}
	}
	short, long := session("short", 200*time.Millisecond), session("long", time.Hour)
	for _, begun := range []sessionstore.Session{short, long} {
		if _, _, err := s.Create(t.Context(), begun, begun.ExpiresAt); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.sheet(nil).Header.Get(jetstream.MsgTTLHeader); got != "900s" {
		t.Errorf("a sheet is kept for %q", got)
	}
	eventually(t, "forgotten by the bucket", func() bool {
		_, err := s.kv.Get(t.Context(), s.cfg.Hasher.Session(short.Key()))
		return errors.Is(err, jetstream.ErrKeyNotFound)
	})
	if _, err := s.kv.Get(t.Context(), s.cfg.Hasher.Session(long.Key())); err != nil {
		t.Errorf("one that is still kept: %v", err)
	}
}
