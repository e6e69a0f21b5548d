package revocation

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

// Of several revocations by name the gravest reason is told, and of several cutoffs the latest one's, in whatever order they come.
func TestWhichReasonIsTold(t *testing.T) {
	now := time.Now()
	session := func(reason events.Reason) events.Event {
		e := sessionOut(1, "s", now)
		e.Reason = reason
		return e
	}
	user := func(reason events.Reason, at time.Time) events.Event {
		e := everywhere(1, at)
		e.Reason, e.Cutoff = reason, at
		return e
	}
	for _, tt := range []struct {
		name string
		both [2]events.Event
		want events.Reason
	}{
		{"by name", [2]events.Event{session(events.ReasonCompromised), session(events.ReasonUserLogout)}, events.ReasonCompromised},
		{"cutoffs", [2]events.Event{user(events.ReasonCompromised, now.Add(-time.Minute)), user(events.ReasonUserLogout, now)}, events.ReasonUserLogout},
		{"equal cutoffs", [2]events.Event{user(events.ReasonCompromised, now), user(events.ReasonUserLogout, now)}, events.ReasonCompromised},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, order := range [][2]int{{0, 1}, {1, 0}} {
				r, sink := bare(Config{})
				for i, which := range order {
					sink.Event(Place{uint64(i + 1), now, now}, tt.both[which])
				}
				d := r.Check(Session{ID: "s", User: everywhere(1, now).User, AuthTime: now.Add(-time.Hour)})
				if d.State != Revoked || d.Reason != tt.want {
					t.Errorf("in order %v: %v because of %q, want %q", order, d.State, d.Reason, tt.want)
				}
			}
		})
	}
}

// A hook that blocks holds nothing up but the sweeper that calls it.
func TestExpiredThatBlocksHoldsUpNoSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r, sink := bare(Config{MaxAge: time.Hour, Hooks: Hooks{Expired: func(int) { <-release }}})
		now := time.Now()
		sink.Event(Place{1, now, now}, sessionOut(1, "a", now))
		sink.Beat(Place{2, now.Add(3 * time.Hour), now})
		go r.forget(now.Add(3 * time.Hour))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := r.Save(ctx, SnapshotFile(t.TempDir()+"/snapshot")); err != nil {
			t.Errorf("Save: %v", err)
		}
		close(release)
	})
}

// A feed that gives its stream no name is told so, for a stream that takes its place couldn't be told from it.
func TestBeginRefusesAStreamWithoutAName(t *testing.T) {
	r := newReplica(Config{}.withDefaults())
	s := &sink{r: r, ctx: t.Context()}
	if _, err := s.Begin(Head{First: 1}); err == nil {
		t.Error("begun")
	}
}

// A replica that holds revocations keeps its key for life, whatever the stream's is.
func TestAnotherKeyLosesNothing(t *testing.T) {
	r, sink := bare(Config{})
	now := time.Now()
	sink.Event(Place{1, now, now}, sessionOut(1, "a", now))
	if _, err := sink.Begin(Head{Stream: "s@2", HashKey: HashKey{9}}); err != nil {
		t.Fatal(err)
	}
	if d := r.Check(Session{ID: "a"}); d.State != Revoked {
		t.Errorf("%v, want revoked", d.State)
	}
}

// Rule 9: an event that was stored later than its own time by more than the leeway counts as having happened then, unless it is a replay.
func TestStoredLateIsKeptFromThen(t *testing.T) {
	now := time.Now()
	const day = 24 * time.Hour
	for _, tt := range []struct {
		replay string
		left   int
	}{{"", 1}, {"replay-1", 0}} {
		s := newSet(keepDefaults, testKey)
		e := sessionOut(1, "s", now.Add(-20*day))
		e.Replay = tt.replay
		s.apply(e, 1, now)
		s.expire(now.Add(29 * day))
		if n, _ := s.size(); n != tt.left {
			t.Errorf("replay %q: %d are left 29 days later, want %d", tt.replay, n, tt.left)
		}
	}
}

// A cutoff of users doesn't make a replica that has begun from a snapshot look for cutoffs of devices, clients and tenants.
func TestSnapshotTellsTheLatestCutoffOfEachKind(t *testing.T) {
	s := newSet(keepDefaults, testKey)
	s.apply(everywhere(1, epoch), 1, epoch)
	back, _, err := readBack(t, written(t, s, 1))
	if err != nil {
		t.Fatal(err)
	}
	for kind := fp.User; kind <= fp.Tenant; kind++ {
		if got, want := back.latest[kind].Load(), s.latest[kind].Load(); got != want {
			t.Errorf("kind %v: %d, want %d", kind, got, want)
		}
	}
	// And it is checked.
	b := written(t, s, 1)
	b[len(b)-8] ^= 1
	if _, _, err := readBack(t, b); err == nil {
		t.Error("a trailer that was changed is believed")
	}
	if _, _, err := readBack(t, bytes.Clone(b[:len(b)-trailerBytes])); err == nil {
		t.Error("a snapshot without its trailer is believed")
	}
}

// Whatever feed an event comes from: a cutoff further ahead than clocks are off is left out.
func TestCutoffFarAheadIsLeftOut(t *testing.T) {
	var skipped []error
	r, sink := bare(Config{Hooks: Hooks{Skipped: func(_ uint64, err error) { skipped = append(skipped, err) }}})
	now := time.Now()
	sink.Event(Place{1, now, now}, everywhere(1, now.Add(MaxCutoffAhead+time.Second)))
	if _, held := r.set.Load().size(); held != 0 || len(skipped) != 1 {
		t.Errorf("%d cutoffs are held and %d skipped, want none and 1", held, len(skipped))
	}
	sink.Event(Place{2, now, now}, everywhere(1, now.Add(MaxCutoffAhead)))
	if _, held := r.set.Load().size(); held != 1 || len(skipped) != 1 {
		t.Errorf("%d cutoffs are held and %d skipped, want 1 and 1", held, len(skipped))
	}
}
