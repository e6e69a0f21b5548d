package sessionkv

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

func openOver(t testing.TB, b *bus.Bus) *Store {
	t.Helper()
	kv, err := b.KeyValue(t.Context(), bus.SessionsBucket())
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), b.Conn(), kv, config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// history is what is written of one session, in the bucket's order, by writers who know what was written of it last and some of the touches since. It says what holds after each.
type history struct {
	store *Store
	holds sessionstore.Session
	// known are the states that the next writer may take it for: that after the last write, and after each touch since.
	known []sessionstore.Session
	begun time.Time
	last  uint64
	// first is the session as it was registered. While gone it is forgotten, and may be registered again.
	first sessionstore.Session
	gone  bool
}

// forget has the bucket forget the session, and later register has it there again, as another.
func (h *history) forget(t *rapid.T) {
	if err := h.store.kv.Delete(context.Background(), h.store.cfg.Hasher.Session(h.first.Key())); err != nil {
		t.Fatal(err)
	}
	h.gone, h.holds = true, sessionstore.Session{}
	h.mark(t)
}

// mark stores what changes nothing, so that what is last is always there, to be waited for.
func (h *history) mark(t *rapid.T) {
	h.send(t, func() (uint64, error) { return h.store.publish(context.Background(), h.store.sheet(nil)) })
}

func (h *history) register(t *rapid.T) {
	h.begun = h.begun.Add(10 * time.Second) // later than all touches of the one before
	h.first.CreatedAt, h.first.SeenAt = h.begun, h.begun
	h.gone, h.holds = false, h.first
	h.write(t, h.first)
}

// expire has the sheets expire, after the session's entry has told of them.
func (h *history) expire(t *rapid.T) {
	switch {
	case h.gone:
	case h.holds.Ended == nil:
		h.write(t, h.holds)
	case h.holds.Ended.Pending():
		return // no claim is there for so long
	}
	if err := h.store.stream.Purge(context.Background(), jetstream.WithPurgeSubject(h.store.prefix+sheetPrefix+">")); err != nil {
		t.Fatal(err)
	}
	h.mark(t)
}

func (h *history) send(t *rapid.T, tell func() (uint64, error)) {
	revision, err := tell()
	if err != nil {
		t.Fatal(err)
	}
	h.last = revision
}

func (h *history) write(t *rapid.T, s sessionstore.Session) {
	h.send(t, func() (uint64, error) {
		msg := h.store.message(h.store.cfg.Hasher.Session(s.Key()), s, 0)
		msg.Header.Del(jetstream.ExpectedLastSubjSeqHeader)
		return h.store.publish(context.Background(), msg)
	})
	h.known = []sessionstore.Session{h.holds}
}

func (h *history) step(t *rapid.T) {
	call := rapid.SampledFrom([]string{"touch", "touch", "touch", "warn", "claim", "end", "fold", "forget", "expire"}).Draw(t, "call")
	switch {
	case call == "expire":
		h.expire(t)
		return
	case h.gone && call != "touch":
		h.register(t)
		return
	case call == "forget":
		h.forget(t)
		return
	}
	if call == "touch" {
		at := h.begun.Add(time.Duration(rapid.IntRange(0, 9).Draw(t, "at")) * time.Second)
		h.send(t, func() (uint64, error) {
			told := sessionstore.Session{SeenAt: at}
			other := sessionstore.Key{Tenant: h.first.Tenant, ID: "another"}
			return h.store.publish(context.Background(), h.store.sheet(map[sessionstore.Key]sessionstore.Session{h.first.Key(): told, other: told}))
		})
		if h.gone {
			return
		}
		if after, _, changed := h.holds.Touch(at); changed {
			h.holds = after
			h.known = append(h.known, after)
		}
		return
	}
	view := rapid.SampledFrom(h.known).Draw(t, "what the writer knows")
	missed := h.holds.SeenAt.After(view.SeenAt)
	var after sessionstore.Session
	var ok bool
	switch call {
	case "warn":
		after, ok = view.Warn(view.SeenAt)
	case "claim":
		after, ok = view.End(sessionstore.End{At: h.begun, Reason: events.ReasonIdleTimeout, Event: "e-1"}, view.SeenAt)
	case "end":
		after, ok = view.End(sessionstore.End{At: h.begun, Reason: events.ReasonAdmin, Event: "e-2", Position: 2}, time.Time{})
		missed = false
	case "fold":
		after, ok = view, view.Ended == nil
	}
	if !ok { // or whoever folds has heard of a claim
		return
	}
	if !missed {
		h.holds = after
	}
	h.write(t, after)
}

// TestEveryProcessHasTheSame: writers don't know of the latest touches. Who has followed from the beginning, who was away for a while and who reads only what is left take the same for what holds,
// and no warning and no claim holds over a touch that came before it.
func TestEveryProcessHasTheSame(t *testing.T) {
	srv := natstest.Start(t)
	b := natstest.Open(t, bus.Config{URL: srv.URL()})
	follower := openOver(t, b)
	l := linked(t, srv.Addr())
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		at := time.Now().UTC().Truncate(time.Millisecond).Add(-time.Minute)
		begun := sessionstore.Session{
			Tenant: fmt.Sprintf("t-%d", run), ID: "s-1", User: "ada", AuthTime: at, CreatedAt: at, SeenAt: at, ExpiresAt: at.Add(time.Hour),
		}
		if _, _, err := follower.Create(context.Background(), begun, begun.ExpiresAt); err != nil {
			rt.Fatal(err)
		}
		h := &history{store: follower, holds: begun, known: []sessionstore.Session{begun}, begun: at, first: begun}
		away := rapid.IntRange(0, 30).Draw(rt, "away after")
		for i := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			if i == away {
				l.away(t)
			}
			h.step(rt)
		}
		l.back(t)
		late := openOver(t, b)
		defer late.Close()
		for name, s := range map[string]*Store{"followed": follower, "was away": l.Store, "read later": late} {
			if err := s.reached(context.Background(), h.last); err != nil {
				rt.Fatal(err)
			}
			got, _, _ := s.get(begun.Key())
			if diff := cmp.Diff(h.holds, got); diff != "" {
				rt.Fatalf("%s (-holds +got):\n%s", name, diff)
			}
		}
	})
}

func behind(s *Store) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.table.Behind(time.Now()))
}

// TestFolded: the sheets are gone, as after their time, and the sessions' own entries tell of the touches.
func TestFolded(t *testing.T) {
	b := natstest.Bus(t)
	s := openOver(t, b)
	at := time.Now().UTC().Truncate(time.Millisecond).Add(-time.Minute)
	var touches []sessionstore.Touch
	for i := range foldedAtOnce + 10 {
		begun := sessionstore.Session{
			Tenant: "acme", ID: fmt.Sprintf("s-%d", i), User: "ada", AuthTime: at, CreatedAt: at, SeenAt: at, ExpiresAt: at.Add(time.Hour),
		}
		if _, _, err := s.Create(t.Context(), begun, begun.ExpiresAt); err != nil {
			t.Fatal(err)
		}
		touches = append(touches, sessionstore.Touch{ID: begun.ID, At: at.Add(time.Duration(1+i%30) * time.Second)})
	}
	if _, err := s.Touch(t.Context(), "acme", touches); err != nil {
		t.Fatal(err)
	}
	s.fold(t.Context(), at) // of which none is as old as that
	if got := behind(s); got != len(touches) {
		t.Fatalf("%d of %d are behind", got, len(touches))
	}
	s.fold(t.Context(), time.Now())
	info, err := s.stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.reached(t.Context(), info.State.LastSeq); err != nil {
		t.Fatal(err)
	}
	if got := behind(s); got != 0 {
		t.Errorf("%d are behind after they were written", got)
	}
	if err := s.stream.Purge(t.Context(), jetstream.WithPurgeSubject(s.prefix+sheetPrefix+">")); err != nil {
		t.Fatal(err)
	}
	late := openOver(t, b)
	for _, touch := range touches {
		got, err := late.Session(t.Context(), sessionstore.Key{Tenant: "acme", ID: touch.ID})
		if err != nil || !got.SeenAt.Equal(touch.At) {
			t.Fatalf("%s: seen at %v, want %v (%v)", touch.ID, got.SeenAt, touch.At, err)
		}
	}
}

// TestSheetsThatAreNone: what somebody else has written there changes nothing.
func TestSheetsThatAreNone(t *testing.T) {
	sheet := appendTouch(newSheet(1), "000102030405060708090a0b0c0d0e0f", time.UnixMilli(5))
	for _, b := range [][]byte{nil, {1}, {2}, append([]byte{2}, sheet[1:]...), sheet[:len(sheet)-1], append(sheet, 0)} {
		for name, at := range readSheet(b) {
			t.Errorf("%x: %s %v", b, name, at)
		}
	}
	for name, at := range readSheet(sheet) {
		if name != "000102030405060708090a0b0c0d0e0f" || at.UnixMilli() != 5 {
			t.Errorf("%s %v", name, at)
		}
	}
}
