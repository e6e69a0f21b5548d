package revocation

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// A stream that is whole only since some time: who began before that may have been revoked by what it has lost.
func TestStreamThatIsWholeSince(t *testing.T) {
	now := time.Now()
	const leeway = time.Minute
	since := now.Add(-10 * 24 * time.Hour)
	r := newReplica(Config{Leeway: leeway}.withDefaults())
	s := &sink{r: r, ctx: t.Context()}
	if _, err := s.Begin(Head{Stream: "s@1", WholeSince: since}); err != nil {
		t.Fatal(err)
	}
	s.Beat(Place{1, now, now})
	want := func(begun time.Time, want State) {
		t.Helper()
		if d := r.Check(Session{ID: "s", User: "ada", AuthTime: begun}); d.State != want || want == Revoked && d.Scope != ScopeMaxAge {
			t.Errorf("begun %v after that: %v by %q (%v), want %v", begun.Sub(since), d.State, d.Scope, d.Cause, want)
		}
	}
	want(since.Add(-time.Hour), Revoked)
	want(since.Add(leeway).Truncate(time.Millisecond), Revoked)
	want(since.Add(leeway+time.Second), Active)
	// What this replica has heard since, it keeps: the stream may lose it.
	if _, err := s.Begin(Head{Stream: "s@1", First: 1, Last: 1, WholeSince: now}); err != nil {
		t.Fatal(err)
	}
	want(since.Add(leeway+time.Second), Active)
	// But not what it has missed. Whoever is watched learns it too.
	watched, end, _ := r.Watch(t.Context(), Session{ID: "t", User: "ada", AuthTime: now.Add(-2 * time.Hour)}, Require{})
	defer end()
	if _, err := s.Begin(Head{Stream: "s@1", First: 9, Last: 9, WholeSince: now.Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	s.Beat(Place{9, now, now})
	want(now.Add(-2*time.Hour), Revoked)
	want(now.Add(-time.Minute), Active)
	r.endMass() // as the goroutine does that it was left to
	if !errors.Is(context.Cause(watched), ErrSessionEnded) {
		t.Errorf("the session is watched on: %v", context.Cause(watched))
	}
}

// A backup brings back its old, shorter retention, too: once that has been mended, and the stream has grown past where it was, it is still one to be read
// from its beginning.
func TestPutBackWhileRetentionIsShort(t *testing.T) {
	now := time.Now()
	r, s := bare(Config{})
	s.Event(Place{10, now, now}, sessionOut(1, "a", now))
	if _, err := s.Begin(Head{Stream: "s@1", First: 1, Last: 5, Retention: time.Hour}); !errors.Is(err, ErrRetention) {
		t.Fatalf("Begin: %v, want ErrRetention", err)
	}
	after, err := s.Begin(Head{Stream: "s@1", First: 1, Last: 20})
	if after != 0 || err != nil {
		t.Errorf("it is followed after %d (%v), want from its beginning", after, err)
	}
	if d := r.Check(Session{ID: "b", User: "ada", AuthTime: now}); !errors.Is(d.Cause, ErrNotSynced) {
		t.Errorf("%v (%v), want undetermined until all has been read", d.State, d.Cause)
	}
}

// What a process has found out about its stream alone, that it was put back, is none of its snapshots' business: others can't know it.
func TestSnapshotOfAStreamThatWasPutBack(t *testing.T) {
	now := time.Now()
	writer, s := bare(Config{})
	if _, err := s.Begin(Head{Stream: "s@1+1", Made: "s@1"}); err != nil {
		t.Fatal(err)
	}
	s.Event(Place{1, now, now}, sessionOut(1, "a", now))
	if got := writer.Status(); got.Stream != "s@1+1" || got.Made != "s@1" {
		t.Errorf("Status tells of stream %q, made %q", got.Stream, got.Made)
	}
	b := writtenBy(t, writer)
	for _, head := range []Head{{Stream: "s@1"}, {Stream: "s@1", Made: "s@1"}, {Stream: "s@1+3", Made: "s@1"}} {
		head.Last, head.Holds = 1, func(Place) (bool, error) { return true, nil }
		reader := newReplica(Config{Snapshots: []Snapshots{memory(b)}}.withDefaults())
		if after, err := (&sink{r: reader, ctx: t.Context()}).Begin(head); after != 1 || err != nil {
			t.Errorf("stream %q, made %q: followed after %d (%v), want after the snapshot's 1", head.Stream, head.Made, after, err)
		}
	}
}

// Positions of the old stream mean nothing in a new one, nor do those that an exception's other cutoff had.
func TestPositionsOfAnOldStream(t *testing.T) {
	now := time.Now()
	r, s := bare(Config{})
	first, second := everywhere(1, now.Add(-time.Hour)), everywhere(2, now)
	second.Except = []string{"excepted"}
	s.Event(Place{7, now, now}, first)
	s.Event(Place{8, now, now}, second)
	check := func(sid string) Decision {
		return r.Check(Session{ID: sid, User: first.User, AuthTime: now.Add(-2 * time.Hour)})
	}
	if a, b := check("excepted").EventPosition, check("other").EventPosition; a != 7 || b != 8 {
		t.Fatalf("ended by the events at %d and %d, want 7 and 8", a, b)
	}
	before := r.Digest()
	if _, err := s.Begin(Head{Stream: "s@2", First: 1, Last: 20}); err != nil {
		t.Fatal(err)
	}
	for _, sid := range []string{"excepted", "other"} {
		if d := check(sid); d.State != Revoked || d.EventPosition != 0 {
			t.Errorf("%s: %v, by the event at %d; want revoked, at 0", sid, d.State, d.EventPosition)
		}
	}
	if r.Digest() != before {
		t.Error("what is revoked has changed")
	}
}

// endless is a place where saving takes until it is given up.
type endless struct{ saving chan struct{} }

func (endless) String() string                              { return "endless" }
func (endless) Open(context.Context) (io.ReadCloser, error) { return nil, errors.ErrUnsupported }
func (e endless) Save(ctx context.Context, _ func(io.Writer) error) error {
	close(e.saving)
	<-ctx.Done()
	return context.Cause(ctx)
}

// Somebody's Save to a place that doesn't answer holds up neither another Save beyond its ctx nor Close.
func TestSaveThatTakesForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := bare(Config{SnapshotFile: t.TempDir() + "/snapshot", SnapshotInterval: time.Second})
		now := time.Now()
		s.Event(Place{1, now, now}, sessionOut(1, "a", now))
		ctx, giveUp := context.WithCancel(t.Context())
		place, done := endless{make(chan struct{})}, make(chan error)
		go func() {
			_, err := r.Save(ctx, place)
			done <- err
		}()
		<-place.saving
		run, stop := context.WithCancel(t.Context())
		kept := make(chan struct{})
		go func() { defer close(kept); r.keepSaved(run) }()
		time.Sleep(time.Minute) // of the bubble: it is its turn, and it waits
		stop()
		<-kept // or the bubble is a deadlock
		giveUp()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Save: %v, want context canceled", err)
		}
	})
}
