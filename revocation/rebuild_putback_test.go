package revocation_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// script is a feed that does what is written into it, one step after the other.
type script chan func(revocation.Sink) error

// Follow implements [revocation.Feed].
func (s script) Follow(ctx context.Context, sink revocation.Sink) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case step := <-s:
			if err := step(sink); err != nil {
				return err
			}
		}
	}
}

// begins a stream that holds logouts at the positions 1, 2, ….
func begins(h revocation.Head, logouts ...int) func(revocation.Sink) error {
	return func(s revocation.Sink) error {
		if _, err := s.Begin(h); err != nil {
			return err
		}
		for i, n := range logouts {
			s.Event(place(uint64(i+1)), logout(n))
		}
		s.Reach(h.Last)
		return nil
	}
}

func beats(position uint64) func(revocation.Sink) error {
	return func(s revocation.Sink) error { s.Beat(place(position)); return nil }
}

// beatUntil beats each second, as a feed does, until there is an answer, and returns that. One beat needn't do: an offer isn't taken while a sweep or a save is under way.
func (s script) beatUntil(answer <-chan error, position uint64) error {
	for {
		s <- beats(position)
		select {
		case err := <-answer:
			return err
		case <-time.After(time.Second):
		}
	}
}

// offered opens a replica of one feed, and has it rebuilt by another, until what that has read is offered to it. What comes of it is sent.
func offered(t *testing.T, own, other script) (*revocation.Replica, <-chan error) {
	t.Helper()
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: own})
	if err != nil {
		t.Fatal(err)
	}
	rebuilt := make(chan error, 1)
	go func() {
		_, err := replica.Rebuild(t.Context(), other)
		rebuilt <- err
	}()
	synctest.Wait()
	return replica, rebuilt
}

func place(position uint64) revocation.Place {
	return revocation.Place{Position: position, Stored: time.Now(), AsOf: time.Now()}
}

// TestRebuildAcrossAPutBack: the stream is put back while a rebuild waits for the next beat. The server calls it what it did before, the replica's own feed has found out, and the other hasn't: its position, of the
// stream before, is larger. What the replica has refused since stays refused.
func TestRebuildAcrossAPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, other := make(script, 10), make(script, 10)
		before := revocation.Head{Stream: "s@1", Made: "s@1", First: 1, Last: 100}
		for _, feed := range []script{own, other} {
			feed <- begins(before, 1)
			feed <- beats(101)
		}
		replica, rebuilt := offered(t, own, other)
		defer replica.Close()
		own <- func(revocation.Sink) error { return errors.New("the connection was lost") }
		own <- begins(revocation.Head{Stream: "s@1+1", Made: "s@1", First: 1, Last: 50}, 1)
		own <- func(s revocation.Sink) error { s.Event(place(51), logout(2)); return nil }
		for replica.Status().Position != 51 {
			<-time.After(time.Second) // of the bubble's time: the feed is followed again after a pause
		}
		checkState(t, replica, session(2), revocation.Revoked, nil)
		if err := own.beatUntil(rebuilt, 52); err == nil {
			t.Error("a set of the stream before has taken the place")
		}
		checkState(t, replica, session(2), revocation.Revoked, nil)
	})
}

// TestRebuildThatBeganAgain: what another feed has read of two streams doesn't take the place either.
func TestRebuildThatBeganAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, other := make(script, 10), make(script, 10)
		for _, feed := range []script{own, other} {
			feed <- begins(revocation.Head{Stream: "s@1", Made: "s@1", First: 1, Last: 100}, 1)
			feed <- beats(101)
		}
		replica, rebuilt := offered(t, own, other)
		defer replica.Close()
		other <- func(revocation.Sink) error { return errors.New("the connection was lost") }
		other <- begins(revocation.Head{Stream: "s@1+1", Made: "s@1", First: 1, Last: 150}, 1)
		other <- beats(151)
		<-time.After(time.Minute)
		if err := own.beatUntil(rebuilt, 102); err == nil {
			t.Error("a set of two streams has taken the place")
		}
	})
}
