package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// TestRebuild: what was read anew takes the place of what was there, which was the same, and is followed on.
func TestRebuild(t *testing.T) {
	feed := revocationtest.New()
	feed.AutoBeat(20 * time.Millisecond)
	for n := range 100 {
		feed.Publish(logout(n))
	}
	replica := open(t, feed, revocation.Config{})
	before := replica.Digest()
	watched, stop, _ := replica.Watch(t.Context(), session(500), revocation.Require{})
	defer stop()
	got, err := replica.Rebuild(t.Context(), feed)
	if err != nil || !got.Same || got.Digest != before || replica.Digest() != before || got.Position == 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := replica.WaitFor(t.Context(), feed.Publish(logout(500))); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 99, 500} {
		checkState(t, replica, session(n), revocation.Revoked, nil)
	}
	checkState(t, replica, session(501), revocation.Active, nil)
	<-watched.Done()
	if again, err := replica.Rebuild(t.Context(), feed); err != nil || !again.Same || again.Digest == before {
		t.Errorf("again: %+v, %v", again, err)
	}
}

// soon waits until something is so.
func soon(t *testing.T, so func() bool) {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it never came about")
		}
	}
}

// TestRebuildForgetsNothing: what a replica holds and the stream has lost, it holds afterwards, too, and says that it held something else.
func TestRebuildForgetsNothing(t *testing.T) {
	for name, lose := range map[string]func(*revocationtest.Feed){
		"made anew": func(f *revocationtest.Feed) { f.Recreate() },
		"put back":  func(f *revocationtest.Feed) { f.PutBack(1) },
	} {
		t.Run(name, func(t *testing.T) {
			feed := revocationtest.New()
			feed.AutoBeat(20 * time.Millisecond)
			feed.Publish(logout(0))
			feed.Publish(logout(1))
			feed.Publish(everywhere("eve", time.Now()))
			replica := open(t, feed, revocation.Config{})
			before := replica.Status().Stream
			lose(feed)
			feed.Publish(logout(2))
			soon(t, func() bool { return replica.Check(session(2)).State == revocation.Revoked })
			got, err := replica.Rebuild(t.Context(), feed)
			if err != nil || got.Same || replica.Digest() != got.Digest {
				t.Fatalf("of %s, now %s: %+v, %v", before, replica.Status().Stream, got, err)
			}
			eve := revocation.Session{ID: "another", User: "eve", AuthTime: time.Now().Add(-time.Minute)}
			for _, s := range []revocation.Session{session(1), session(2), eve} {
				checkState(t, replica, s, revocation.Revoked, nil)
			}
			checkState(t, replica, session(3), revocation.Active, nil)
			other := open(t, feed, revocation.Config{})
			if other.Digest() == got.Digest {
				t.Error("nobody can tell by the digests that the stream has lost something")
			}
			// One more time it is joined with what it holds, which is all of it.
			if again, err := replica.Rebuild(t.Context(), feed); err != nil || again.Digest != got.Digest {
				t.Errorf("%+v, %v", again, err)
			}
		})
	}
}

// TestRebuildMissesNothing: while events come, sessions are asked about, and replicas are rebuilt, no acknowledged revocation is passed over once it was applied.
func TestRebuildMissesNothing(t *testing.T) {
	feed := revocationtest.New()
	feed.AutoBeat(10 * time.Millisecond)
	replica := open(t, feed, revocation.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var applied atomic.Int64
	var work sync.WaitGroup
	work.Go(func() {
		for n := 0; ctx.Err() == nil && n < 20_000; n++ {
			if err := replica.WaitFor(t.Context(), feed.Publish(logout(n))); err != nil {
				t.Error(err)
				return
			}
			applied.Store(int64(n + 1))
		}
		cancel()
	})
	work.Go(func() {
		for i := int64(0); ctx.Err() == nil; i++ {
			if of := applied.Load(); of > 0 {
				if d := replica.Check(session(int(i % of))); d.State != revocation.Revoked {
					t.Errorf("session %d of %d: %+v", i%of, of, d)
					return
				}
			}
		}
	})
	rebuilt := 0
	for ctx.Err() == nil {
		got, err := replica.Rebuild(ctx, feed)
		switch {
		case err == nil && got.Same:
			rebuilt++
		case err == nil:
			// The one that was read anew may have heard of more by then, and says so.
		case ctx.Err() == nil:
			t.Fatal(err)
		}
	}
	work.Wait()
	if rebuilt == 0 {
		t.Error("never")
	}
	for n := range applied.Load() {
		checkState(t, replica, session(int(n)), revocation.Revoked, nil)
	}
	if d := open(t, feed, revocation.Config{}).Digest(); d != replica.Digest() {
		t.Error("a replica that was started anew holds something else")
	}
}

// TestRebuildThatFails changes nothing.
func TestRebuildThatFails(t *testing.T) {
	feed := revocationtest.New()
	feed.AutoBeat(20 * time.Millisecond)
	feed.Publish(logout(1))
	replica := open(t, feed, revocation.Config{})
	away := revocationtest.New()
	away.Cut()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errors.New("that was long enough"))
	defer cancel()
	if _, err := replica.Rebuild(ctx, away); !errors.Is(err, revocation.ErrNotSynced) {
		t.Errorf("from a feed that is away: %v", err)
	}
	elsewhere := revocationtest.New()
	elsewhere.AutoBeat(20 * time.Millisecond)
	for range 1000 {
		elsewhere.Publish(logout(2))
	}
	elsewhere.Recreate()
	for range 1000 {
		elsewhere.Publish(logout(2))
	}
	if got, err := replica.Rebuild(t.Context(), elsewhere); err == nil {
		t.Errorf("from another stream: %+v", got)
	}
	checkState(t, replica, session(1), revocation.Revoked, nil)
	checkState(t, replica, session(2), revocation.Active, nil)
	_ = replica.Close()
	if _, err := replica.Rebuild(t.Context(), feed); !errors.Is(err, revocation.ErrClosed) {
		t.Errorf("of a closed one: %v", err)
	}
}

func ExampleReplica_Rebuild() {
	ctx := context.Background()
	feed := revocationtest.New() // a real one is revocationnats.NewFeed's; each rebuild takes one of its own
	feed.AutoBeat(10 * time.Millisecond)
	replica, err := revocation.Open(ctx, revocation.Config{Feed: feed})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()
	rebuilt, err := replica.Rebuild(ctx, feed)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("it held what the stream holds:", rebuilt.Same)
	// Output: it held what the stream holds: true
}
