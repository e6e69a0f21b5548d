package revocationnats_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

func TestFeedConformance(t *testing.T) {
	revocationtest.TestFeed(t, func(t *testing.T) revocationtest.Harness {
		// Silence isn't what the suite tests, and it beats seldom.
		return newRig(t, revocationnats.Config{BeatTimeout: 2 * time.Second, ClockInterval: 100 * time.Millisecond})
	})
}

// Trap 9: everything about NATS is well, but nobody writes beats any more, so nobody can know whether anything is missing.
func TestStaleWhenTheBeatWriterStops(t *testing.T) {
	r := newRig(t, quick)
	stop := r.beats(50 * time.Millisecond)
	replica := r.open(revocation.Config{StalenessBudget: 800 * time.Millisecond})
	waitFor(t, replica, r.Publish(logout(1)))
	eventually(t, "fresh", func() bool { return replica.Check(session(2)).State == revocation.Active })

	stop()
	eventually(t, "stale", func() bool { return errors.Is(replica.Check(session(2)).Cause, revocation.ErrStale) })
	// Events still arrive, and revoked stays revoked.
	waitFor(t, replica, r.Publish(logout(3)))
	for n, want := range map[int]revocation.State{1: revocation.Revoked, 2: revocation.Undetermined, 3: revocation.Revoked} {
		if got := replica.Check(session(n)).State; got != want {
			t.Errorf("session %d is %v, want %v", n, got, want)
		}
	}
	r.beats(50 * time.Millisecond)
	eventually(t, "fresh again", func() bool { return replica.Check(session(2)).State == revocation.Active })
}

// Guarantees, section 5, and promise 2 of section 6: a beat writer that is dead mustn't look healthy because a process has restarted. Open says what is missing, and leaves
// nothing running.
func TestOpenWithADeadBeatWriter(t *testing.T) {
	r := newRig(t, quick)
	r.Publish(logout(1))
	const budget = 800 * time.Millisecond
	// tryOpen opens a replica, and gives up when the feed has found the stream quiet twice, and so has reached its head twice.
	tryOpen := func() (*revocation.Replica, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		quiet := 0
		lost := func(err error, _ time.Duration) {
			if errors.Is(err, revocationnats.ErrQuiet) {
				quiet++
			}
			if quiet == 2 {
				cancel()
			}
		}
		return revocation.Open(ctx, revocation.Config{Feed: r.feed, StalenessBudget: budget, Hooks: revocation.Hooks{FeedLost: lost}})
	}
	refused := func(when string) {
		t.Helper()
		_, err := tryOpen()
		for _, want := range []error{revocation.ErrNoBeat, revocationnats.ErrQuiet, context.Canceled} {
			if !errors.Is(err, want) {
				t.Errorf("Open = %v %s, want it to match %v", err, when, want)
			}
		}
		stream, err := r.js.Stream(t.Context(), "CURFEW")
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "no consumer is left "+when, func() bool {
			info, err := stream.Info(t.Context())
			return err == nil && info.State.Consumers == 0
		})
	}
	refused("with no beat ever")

	stop := r.beats(20 * time.Millisecond)
	for range 2 {
		replica, err := tryOpen()
		if err != nil {
			t.Fatalf("Open = %v with a beat writer", err)
		}
		for n, want := range map[int]revocation.State{1: revocation.Revoked, 2: revocation.Active} {
			if d := replica.Check(session(n)); d.State != want {
				t.Errorf("session %d is %v (%v) once opened, want %v", n, d.State, d.Cause, want)
			}
		}
		_ = replica.Close()
	}

	stop()
	replica := r.open(revocation.Config{StalenessBudget: time.Minute})
	eventually(t, "the last beat is old", func() bool { return replica.Status().Staleness > budget })
	_ = replica.Close()
	refused("after the last beat")
	refused("after another restart")
}

func TestOpenWaitsForTheBeat(t *testing.T) {
	r := newRig(t, quick)
	r.Publish(logout(1))
	synced := make(chan struct{})
	var once sync.Once
	opened := make(chan *revocation.Replica, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		replica, err := revocation.Open(ctx, revocation.Config{Feed: r.feed, Hooks: revocation.Hooks{Synced: func(uint64) { once.Do(func() { close(synced) }) }}})
		if err != nil {
			t.Errorf("Open: %v", err)
		}
		opened <- replica
	}()
	<-synced
	r.Publish(logout(2))
	select {
	case <-opened:
		t.Error("opened with an event and no beat")
	case <-time.After(2 * quick.BeatTimeout):
	}
	beat := r.Beat()
	replica := <-opened
	if replica == nil {
		return
	}
	defer replica.Close()
	if s := replica.Status(); !s.Fresh || s.Position < beat {
		t.Errorf("opened with %+v, want fresh at %d", s, beat)
	}
}

func TestServerStopsAndRestarts(t *testing.T) {
	r := newRig(t, quick)
	r.beats(50 * time.Millisecond)
	var mu sync.Mutex
	var lost []error
	replica := r.open(revocation.Config{StalenessBudget: 800 * time.Millisecond, Hooks: revocation.Hooks{
		FeedLost: func(err error, _ time.Duration) { mu.Lock(); defer mu.Unlock(); lost = append(lost, err) },
	}})
	waitFor(t, replica, r.Publish(logout(1)))
	r.srv.Stop()
	eventually(t, "stale", func() bool { return errors.Is(replica.Check(session(2)).Cause, revocation.ErrStale) })
	if got := replica.Check(session(1)); got.State != revocation.Revoked || got.EventPosition == 0 {
		t.Errorf("the revoked session is %+v", got)
	}
	r.srv.Restart()
	waitFor(t, replica, r.Publish(logout(3)))
	eventually(t, "fresh again", func() bool { return replica.Check(session(2)).State == revocation.Active })
	mu.Lock()
	defer mu.Unlock()
	if len(lost) == 0 || slices.Contains(lost, nil) {
		t.Errorf("FeedLost told %v, want the loss and why", lost)
	}
}

// Trap 9: a link that swallows everything gives no error at either end.
func TestLinkIsBlackHoled(t *testing.T) {
	r := newRig(t, quick)
	r.beats(50 * time.Millisecond)
	replica := r.open(revocation.Config{StalenessBudget: 800 * time.Millisecond})
	eventually(t, "fresh", func() bool { return replica.Check(session(1)).State == revocation.Active })

	r.proxy.Stall()
	position := r.Publish(logout(1))
	published := time.Now()
	eventually(t, "stale", func() bool {
		// Before the check, so that it isn't blamed for what the scheduler does in between.
		since := time.Since(published)
		d := replica.Check(session(1))
		if d.State == revocation.Active && since > 800*time.Millisecond {
			t.Fatalf("active %v after it was revoked", since)
		}
		return errors.Is(d.Cause, revocation.ErrStale)
	})
	r.proxy.Heal()
	waitFor(t, replica, position)
	if got := replica.Check(session(1)).State; got != revocation.Revoked {
		t.Errorf("session is %v, want revoked", got)
	}
	eventually(t, "fresh again", func() bool { return replica.Check(session(2)).State == revocation.Active })
}

// A beat that is read late proves what was there when it was stored, not what is there now.
func TestBeatReadLateIsNotDatedNow(t *testing.T) {
	// The feed must not give up, or it would have read the beat from the stream, which says when it was stored anyhow.
	r := newRig(t, revocationnats.Config{BeatTimeout: time.Minute, ClockInterval: 50 * time.Millisecond})
	stop := r.beats(50 * time.Millisecond)
	replica := r.open(revocation.Config{StalenessBudget: 500 * time.Millisecond})
	stop()
	waitFor(t, replica, r.Beat())
	r.proxy.Stall()
	position := r.Beat()
	stored := time.Now()
	eventually(t, "stale", func() bool { return replica.Status().Staleness > time.Second })
	r.proxy.Heal()
	waitFor(t, replica, position)
	age := time.Since(stored)
	d := replica.Check(session(1))
	if d.Staleness < age {
		t.Errorf("staleness %v with a beat that was stored %v ago", d.Staleness, age)
	}
	if !errors.Is(d.Cause, revocation.ErrStale) {
		t.Errorf("the session is %v (%v), want stale", d.State, d.Cause)
	}
}

// Traps 30 and 38: whoever may publish for one tenant can't end another's sessions.
func TestEventOnAnotherTenantsTopicIsSkipped(t *testing.T) {
	r := newRig(t, revocationnats.Config{})
	skipped := make(chan error, 1)
	replica := r.open(revocation.Config{Hooks: revocation.Hooks{Skipped: func(_ uint64, err error) { skipped <- err }}})
	e := logout(1)
	b, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	topic := events.TopicOf(e)
	topic.Tenant = "mallory"
	waitFor(t, replica, r.PublishRaw(topic.String(), b))
	if err := <-skipped; !errors.Is(err, events.ErrForeignTopic) {
		t.Errorf("skipped because of %v, want ErrForeignTopic", err)
	}
	if got := replica.Status().Skipped; got != 1 {
		t.Errorf("%d skipped, want 1", got)
	}
	if got := replica.Check(session(1)).State; got != revocation.Active {
		t.Errorf("session is %v, want active", got)
	}
}

// Trap 11: what is published while the link breaks again and again arrives once, in order, without gaps.
func TestResumesWithoutGapsUnderLoad(t *testing.T) {
	r := newRig(t, quick)
	r.beats(20 * time.Millisecond)
	replica := r.open(revocation.Config{})
	var mu sync.Mutex
	var got []uint64
	defer replica.OnApplied(func(a revocation.Applied) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, a.Position)
	})()
	const n, cuts = 1500, 5
	var want []uint64
	for i := range n {
		if i%(n/cuts) == n/cuts/2 {
			r.proxy.Cut()
		}
		want = append(want, r.Publish(logout(i)))
	}
	waitFor(t, replica, want[n-1])
	// The watchers come after those who wait: the next event's waiter comes after this one's watchers.
	waitFor(t, replica, r.Publish(logout(n)))
	mu.Lock()
	defer mu.Unlock()
	if got := got[:min(len(got), n)]; !slices.Equal(got, want) {
		t.Errorf("applied %d events at other positions than the %d that were published", len(got), n)
	}
	for i := range n {
		if d := replica.Check(session(i)); d.State != revocation.Revoked || d.EventPosition != want[i] {
			t.Fatalf("session %d: %+v, want revoked by %d", i, d, want[i])
		}
	}
}

func TestStreamIsDeletedAndMadeAgain(t *testing.T) {
	r := newRig(t, quick)
	stop := r.beats(50 * time.Millisecond)
	lost := make(chan error, 100)
	replica := r.open(revocation.Config{StalenessBudget: 800 * time.Millisecond, Hooks: revocation.Hooks{
		FeedLost: func(err error, _ time.Duration) { lost <- err },
	}})
	waitFor(t, replica, r.Publish(logout(1)))
	before := replica.Status().Stream
	stop()
	if err := r.js.DeleteStream(t.Context(), "CURFEW"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "stale without a stream", func() bool { return errors.Is(replica.Check(session(2)).Cause, revocation.ErrStale) })
	eventually(t, "told that there is no stream", func() bool {
		select {
		case err := <-lost:
			return errors.Is(err, revocationnats.ErrNoStream)
		default:
			return false
		}
	})
	r.create(ledger())
	// Synced with the new stream, of which no beat has come, it isn't fresh.
	eventually(t, "synced and without a proof", func() bool {
		s := replica.Status()
		return s.Stream != before && s.Synced && s.Staleness < 0
	})
	if d := replica.Check(session(2)); !errors.Is(d.Cause, revocation.ErrStale) {
		t.Errorf("%v (%v) before the new stream's first beat, want stale", d.State, d.Cause)
	}
	r.beats(50 * time.Millisecond)
	eventually(t, "fresh with the new stream", func() bool { return replica.Check(session(2)).State == revocation.Active })
	if got := replica.Check(session(1)).State; got != revocation.Revoked {
		t.Errorf("what the old stream revoked is %v, want revoked", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Run("no stream", func(t *testing.T) {
		r := newRig(t, quick)
		if err := r.js.DeleteStream(t.Context(), "CURFEW"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		lost := func(error, time.Duration) { cancel() }
		_, err := revocation.Open(ctx, revocation.Config{Feed: r.feed, Hooks: revocation.Hooks{FeedLost: lost}})
		if !errors.Is(err, revocationnats.ErrNoStream) || !errors.Is(err, context.Canceled) {
			t.Errorf("Open = %v, want that ctx has ended and that there is no stream", err)
		}
	})
	t.Run("retention shorter than max age", func(t *testing.T) {
		r := newRig(t, quick)
		cfg := ledger()
		cfg.MaxAge = time.Hour
		if _, err := r.js.UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if _, err := revocation.Open(t.Context(), revocation.Config{Feed: r.feed}); !errors.Is(err, revocation.ErrRetention) {
			t.Errorf("Open = %v, want ErrRetention", err)
		}
		replica := r.open(revocation.Config{MaxAge: 55 * time.Minute})
		if !replica.Status().Synced {
			t.Error("not synced where retention is just max age and leeway")
		}
	})
}

// The idle heartbeats that nats.go takes are between 0.5 s and 30 s, and a pull lasts 30 s; a BeatTimeout may be anything.
func TestAnyBeatTimeoutFollows(t *testing.T) {
	for _, timeout := range []time.Duration{50 * time.Millisecond, 900 * time.Millisecond, 40 * time.Second, 5 * time.Minute} {
		t.Run(timeout.String(), func(t *testing.T) {
			r := newRig(t, revocationnats.Config{BeatTimeout: timeout})
			r.beats(20 * time.Millisecond)
			waitFor(t, r.open(revocation.Config{}), r.Publish(logout(1)))
		})
	}
}

func TestSilenceEndsTheConsumer(t *testing.T) {
	r := newRig(t, revocationnats.Config{BeatTimeout: 100 * time.Millisecond})
	lost := make(chan error, 10)
	replica := r.open(revocation.Config{Hooks: revocation.Hooks{FeedLost: func(err error, _ time.Duration) {
		select {
		case lost <- err:
		default:
		}
	}}})
	if err := <-lost; !errors.Is(err, revocationnats.ErrQuiet) {
		t.Errorf("lost because of %v, want ErrQuiet", err)
	}
	waitFor(t, replica, r.Publish(logout(1)))
}

// While there is no connection, that is what the hook is told, and not what the connection says of its buffer.
func TestDisconnectedIsSaid(t *testing.T) {
	r := newRig(t, quick)
	lost := make(chan error, 1)
	r.open(revocation.Config{StalenessBudget: time.Minute, Hooks: revocation.Hooks{FeedLost: func(err error, _ time.Duration) {
		select {
		case lost <- err:
		default: // there is one to look at
		}
	}}})
	r.Cut()
	eventually(t, "it is told that there is no connection", func() bool {
		select {
		case err := <-lost:
			return errors.Is(err, revocationnats.ErrDisconnected)
		default:
			return false
		}
	})
}
