package sessionkv_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/internal/sessionstore/sessionkv"
)

func begin(t *testing.T, s *sessionkv.Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		at := time.Now().UTC().Truncate(time.Millisecond).Add(-time.Minute)
		session := sessionstore.Session{Tenant: "acme", ID: id, User: "u-1", AuthTime: at, CreatedAt: at, SeenAt: at, ExpiresAt: at.Add(time.Hour)}
		if _, _, err := s.Create(t.Context(), session, session.ExpiresAt); err != nil {
			t.Fatal(err)
		}
	}
}

func touch(t *testing.T, s *sessionkv.Store, ids ...string) ([]sessionstore.Touched, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var touches []sessionstore.Touch
	for _, id := range ids {
		touches = append(touches, sessionstore.Touch{ID: id, At: time.Now().UTC().Truncate(time.Millisecond)})
	}
	return s.Touch(ctx, "acme", touches)
}

func stream(t *testing.T, b *bus.Bus) jetstream.Stream {
	t.Helper()
	s, err := b.JetStream().Stream(t.Context(), "KV_"+bus.SessionsBucket().Name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPurged: an operator has purged the bucket. What it has lost is unknown then, to every process; it isn't an outage for ever.
func TestPurged(t *testing.T) {
	b := natstest.Bus(t)
	s := open(t, b)
	begin(t, s, "old")
	if err := stream(t, b).Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	begin(t, s, "new")
	for range 3 {
		got, err := touch(t, s, "old", "new")
		if err == nil && got[1].Outcome == sessionstore.Taken {
			return
		}
		t.Logf("%+v, %v", got, err)
	}
	_, _, err := s.End(t.Context(), sessionstore.Key{Tenant: "acme", ID: "old"}, sessionstore.End{At: time.Now(), Reason: "idle_timeout", Event: "e"}, time.Time{})
	t.Errorf("after a purge a touch of new and old fails for ever; and so does the end of the old: %v", err)
}

// TestMadeAnew: the bucket was deleted and made anew, as by an operator or out of a backup. The process follows it.
func TestMadeAnew(t *testing.T) {
	b := natstest.Bus(t)
	s := open(t, b)
	begin(t, s, "a", "b", "c", "d")
	if err := b.JetStream().DeleteKeyValue(t.Context(), bus.SessionsBucket().Name); err != nil {
		t.Fatal(err)
	}
	other := open(t, b)
	begin(t, other, "d")
	if _, err := touch(t, other, "d"); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(25 * time.Second)
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		mine, err := s.Session(t.Context(), sessionstore.Key{Tenant: "acme", ID: "d"})
		theirs, err2 := other.Session(t.Context(), sessionstore.Key{Tenant: "acme", ID: "d"})
		if err == nil && err2 == nil && mine.SeenAt.Equal(theirs.SeenAt) {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("25 s after the bucket was made anew: %v (%v) and %v (%v)", mine.SeenAt, err, theirs.SeenAt, err2)
		case <-look.C:
		}
	}
	if _, err := s.Session(t.Context(), sessionstore.Key{Tenant: "acme", ID: "a"}); !errors.Is(err, sessionstore.ErrUnknown) {
		t.Errorf("a session that the bucket doesn't hold: %v", err)
	}
	if got, err := touch(t, s, "d"); err != nil {
		t.Errorf("a touch: %+v, %v", got, err)
	}
}

// TestTouchIsBounded: no acknowledgement comes, as when the stream's leader dies with what it was sent. A call returns all the same, and those after it work.
func TestTouchIsBounded(t *testing.T) {
	b := natstest.Bus(t)
	s := open(t, b)
	ids := make([]string, sessionstore.MaxTouches)
	for i := range ids {
		ids[i] = fmt.Sprintf("s-%d", i)
	}
	begin(t, s, ids...)
	silent := func(yes bool) {
		t.Helper()
		cfg := stream(t, b).CachedInfo().Config
		cfg.NoAck = yes
		if _, err := b.JetStream().UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	silent(true)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	began := time.Now()
	if _, err := s.Touch(ctx, "acme", []sessionstore.Touch{{ID: "s-0", At: time.Now()}}); ctx.Err() != nil {
		t.Errorf("a touch without an acknowledgement waits until its caller gives up: %v after %v", err, time.Since(began))
	}
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		var touches []sessionstore.Touch
		for _, id := range ids {
			touches = append(touches, sessionstore.Touch{ID: id, At: time.Now()})
		}
		_, _ = s.Touch(ctx, "acme", touches)
		cancel()
	}
	silent(false)
	for try := range 3 {
		if _, err := touch(t, s, "s-1"); err == nil {
			return
		} else if try == 2 {
			t.Errorf("the stream acknowledges again, and touches fail: %v", err)
		}
	}
}

// TestIdUsedAgain: a session is long over and forgotten, and an application uses its id for another user's. It is the other user's then.
func TestIdUsedAgain(t *testing.T) {
	table := sessionstore.NewTable()
	at := time.Now().Add(-90 * 24 * time.Hour)
	old := sessionstore.Session{Tenant: "acme", ID: "s-1", User: "ada", AuthTime: at, CreatedAt: at, SeenAt: at, ExpiresAt: at.Add(time.Hour)}
	table.Put(old, 1, time.Time{})
	now := time.Now()
	table.Put(sessionstore.Session{Tenant: "acme", ID: "s-1", User: "eve", AuthTime: now, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour)}, 2, now)
	if list, _ := table.Sessions("acme", "ada", 10, now); len(list) > 0 {
		t.Errorf("eve's session stands in ada's list: %+v", list[0])
	}
	if list, _ := table.Sessions("acme", "eve", 10, now); len(list) != 1 {
		t.Error("eve's doesn't stand in hers")
	}
}

// TestRoom: a flood of sessions leaves the ledger its room on the disk.
func TestRoom(t *testing.T) {
	b := natstest.Bus(t)
	open(t, b)
	if got := stream(t, b).CachedInfo().Config.MaxBytes; got <= 0 || got > 1<<30 {
		t.Errorf("the bucket takes %d bytes, and the ledger's publisher refuses what it can't store", got)
	}
}
