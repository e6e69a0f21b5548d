package revocation_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// opening is an Open under way in a bubble. Read its fields after synctest.Wait.
type opening struct {
	t *testing.T
	// synced is whether the replica has told that it is synced.
	synced  bool
	done    bool
	replica *revocation.Replica
	err     error
}

// startOpen opens a replica whose hook Synced is the opening's own.
func startOpen(t *testing.T, feed *revocationtest.Feed, cfg revocation.Config) *opening {
	t.Helper()
	o := &opening{t: t}
	cfg.Feed, cfg.Hooks.Synced = feed, func(uint64) { o.synced = true }
	// Ends before the bubble does: with the replica, or with the test's ctx.
	go func() {
		o.replica, o.err = revocation.Open(t.Context(), cfg)
		o.done = true
	}()
	t.Cleanup(func() {
		synctest.Wait()
		if o.replica != nil {
			_ = o.replica.Close()
		}
	})
	return o
}

func (o *opening) wantUnopened(what string) {
	o.t.Helper()
	synctest.Wait()
	if o.done {
		o.t.Fatalf("Open returned %s: %v", what, o.err)
	}
}

func (o *opening) wantOpened(what string) *revocation.Replica {
	o.t.Helper()
	synctest.Wait()
	if !o.done || o.err != nil {
		o.t.Fatalf("Open hasn't returned a replica %s: returned %t, %v", what, o.done, o.err)
	}
	if s := o.replica.Status(); !s.Synced || !s.Fresh {
		o.t.Errorf("opened %s with %+v, want synced and fresh", what, s)
	}
	return o.replica
}

func TestOpenWaitsForTheBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget = revocation.DefaultStalenessBudget
		feed := revocationtest.New()
		feed.AutoBeat(0)
		feed.Publish(logout(1))
		o := startOpen(t, feed, revocation.Config{})
		synctest.Wait()
		if !o.synced {
			t.Fatal("not synced")
		}
		o.wantUnopened("when it was synced")
		time.Sleep(time.Hour)
		feed.Publish(logout(2))
		o.wantUnopened("with another event")
		feed.Break(errors.New("broken"))
		time.Sleep(time.Minute)
		o.wantUnopened("when it had reached the head again")
		feed.BeatAt(time.Now().Add(-budget - 1))
		o.wantUnopened("with a beat that is older than the budget")
		feed.BeatAt(time.Now().Add(-budget))
		replica := o.wantOpened("with a beat that is as old as the budget")
		if got := replica.Status().Staleness; got != budget {
			t.Errorf("staleness %v, want %v: opening doesn't make a beat younger", got, budget)
		}
		checkState(t, replica, session(1), revocation.Revoked, nil)
		checkState(t, replica, session(2), revocation.Revoked, nil)
		checkState(t, replica, session(3), revocation.Active, nil)
	})
}

// The beat may lie before the head: a replica need not wait for the next.
func TestOpenTakesABeatFromBeforeTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		feed.AutoBeat(0)
		feed.Beat()
		time.Sleep(5 * time.Second)
		for n := range 10 {
			feed.Publish(logout(n))
		}
		replica := open(t, feed, revocation.Config{})
		if s := replica.Status(); s.Staleness != 5*time.Second || s.Sessions != 10 {
			t.Errorf("staleness %v and %d sessions, want 5s and 10", s.Staleness, s.Sessions)
		}
	})
}

// A young beat doesn't let anybody in who hasn't read the rest.
func TestOpenWaitsForTheHeadThoughThereIsABeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		feed.AutoBeat(0)
		feed.Beat()
		feed.Publish(logout(1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := revocation.Open(ctx, revocation.Config{Feed: stuckAtBeat{feed}}); !errors.Is(err, revocation.ErrNotSynced) || errors.Is(err, revocation.ErrNoBeat) {
			t.Errorf("Open = %v, want ErrNotSynced", err)
		}
	})
}

// stuckAtBeat is a feed whose consumer delivers a beat and nothing after it.
type stuckAtBeat struct{ *revocationtest.Feed }

// Follow implements [revocation.Feed].
func (f stuckAtBeat) Follow(ctx context.Context, sink revocation.Sink) error {
	return f.Feed.Follow(ctx, stuckSink{sink, f.Feed})
}

type stuckSink struct {
	revocation.Sink
	feed *revocationtest.Feed
}

// Beat implements [revocation.Sink].
func (s stuckSink) Beat(p revocation.Place) {
	s.Sink.Beat(p)
	s.feed.Stall()
}

func TestOpenWithADeadBeatWriter(t *testing.T) {
	for _, tt := range []struct {
		name    string
		arrange func(*revocationtest.Feed)
		// later happens once the replica is synced.
		later func(*revocationtest.Feed)
		want  []error
		text  string
	}{
		{name: "an empty stream", arrange: func(*revocationtest.Feed) {}},
		{name: "never a beat", arrange: func(f *revocationtest.Feed) { f.Publish(logout(1)) }},
		{
			name: "the last beat is old", text: "1m20s old",
			arrange: func(f *revocationtest.Feed) { f.BeatAt(time.Now().Add(-20 * time.Second)); f.Publish(logout(1)) },
		},
		{
			name: "its beats have expired",
			arrange: func(f *revocationtest.Feed) {
				f.Publish(logout(1))
				f.Beat()
				f.ExpireBeats()
			},
		},
		{
			name: "and the link breaks too", arrange: func(f *revocationtest.Feed) { f.Publish(logout(1)) },
			later: (*revocationtest.Feed).Cut, want: []error{revocationtest.ErrCut},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := revocationtest.New()
				feed.AutoBeat(0)
				tt.arrange(feed)
				deploy := errors.New("deploy is over")
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Minute, func() { cancel(deploy) })
				began, synced := time.Now(), 0
				replica, err := revocation.Open(ctx, revocation.Config{Feed: feed, Hooks: revocation.Hooks{Synced: func(uint64) {
					if synced++; tt.later != nil {
						tt.later(feed)
					}
				}}})
				if replica != nil || time.Since(began) != time.Minute || synced != 1 {
					t.Errorf("Open = %v, %v after %v, synced %d times; want no replica, synced once, after 1m", replica, err, time.Since(began), synced)
				}
				for _, want := range append(tt.want, revocation.ErrNoBeat, deploy) {
					if !errors.Is(err, want) {
						t.Errorf("Open = %v, want it to match %v", err, want)
					}
				}
				if errors.Is(err, revocation.ErrNotSynced) {
					t.Errorf("Open = %v, though the replica was synced", err)
				}
				for _, want := range []string{"synced", "publisher", "curfew serve", tt.text} {
					if err != nil && !strings.Contains(err.Error(), want) {
						t.Errorf("%q doesn't say %q", err, want)
					}
				}
				// The bubble fails if anything is left running.
			})
		})
	}
}

// A beat writer that has died mustn't look healthy for one staleness budget after every restart.
func TestRestartUnderADeadBeatWriterIsNeverFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		feed.AutoBeat(time.Second)
		old := open(t, feed, revocation.Config{})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		feed.AutoBeat(0)
		last := time.Now()
		var opened, refused int
		for range 12 {
			time.Sleep(4 * time.Second)
			feed.Publish(logout(1)) // events still come
			age := time.Since(last)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			replica, err := revocation.Open(ctx, revocation.Config{Feed: feed})
			cancel()
			if age > revocation.DefaultStalenessBudget {
				refused++
				if !errors.Is(err, revocation.ErrNoBeat) || old.Status().Fresh {
					t.Errorf("%v after the last beat: Open = %v, fresh before %t; want ErrNoBeat and not", age, err, old.Status().Fresh)
				}
				continue
			}
			opened++
			if err != nil {
				t.Fatalf("%v after the last beat: Open = %v, want nil", age, err)
			}
			if got := replica.Status(); got.Staleness != age || old.Status().Staleness != age {
				t.Errorf("%v after the last beat: staleness %v after the restart and %v without", age, got.Staleness, old.Status().Staleness)
			}
			_ = replica.Close()
		}
		if opened != 3 || refused != 9 {
			t.Errorf("opened %d times and refused %d times, want 3 and 9", opened, refused)
		}
	})
}
