package revocationtest_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is the fake feed as the suite sees it.
type harness struct {
	feed   *revocationtest.Feed
	backup *uint64
}

func (h harness) Feed() revocation.Feed                    { return h.feed }
func (h harness) Publish(e events.Event) uint64            { return h.feed.Publish(e) }
func (h harness) PublishRaw(topic string, b []byte) uint64 { return h.feed.PublishRaw(topic, b) }
func (h harness) Beat() uint64                             { return h.feed.Beat() }
func (h harness) RemoveLast()                              { h.feed.RemoveLast() }
func (h harness) Recreate()                                { h.feed.Recreate() }
func (h harness) Expire(position uint64)                   { h.feed.Expire(position) }
func (h harness) SetRetention(d time.Duration)             { h.feed.SetRetention(d) }
func (h harness) Backup()                                  { *h.backup = h.feed.Last() }
func (h harness) PutBack()                                 { h.feed.PutBack(*h.backup) }
func (h harness) Cut()                                     { h.feed.Cut() }
func (h harness) Heal()                                    { h.feed.Heal() }

func TestFeedConformance(t *testing.T) {
	revocationtest.TestFeed(t, func(*testing.T) revocationtest.Harness {
		feed := revocationtest.New()
		feed.AutoBeat(0)
		return harness{feed, new(uint64)}
	})
}

// logout returns an event that ends one session.
func logout(sid string) events.Event {
	return &events.SessionRevoked{
		Common: events.Common{
			ID: "01890a5d-ac96-774b-bcce-b302099a8057", Time: time.Now(), Source: "test", Tenant: events.DefaultTenant,
			Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
		},
		Session: sid,
	}
}

func open(t *testing.T, c revocation.Config) *revocation.Replica {
	t.Helper()
	replica, err := revocation.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	return replica
}

func TestAutoBeatInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		feed.AutoBeat(time.Second)
		a, b := open(t, revocation.Config{Feed: feed}), open(t, revocation.Config{Feed: feed})
		time.Sleep(time.Hour + time.Millisecond)
		synctest.Wait()
		for _, replica := range []*revocation.Replica{a, b} {
			if got := replica.Status(); got.Staleness != time.Millisecond || !got.Fresh {
				t.Errorf("staleness %v, want 1ms after the last beat", got.Staleness)
			}
		}
		if got, want := feed.Last(), uint64(3601); got != want {
			t.Errorf("%d beats in an hour with two followers, want %d", got, want)
		}
		feed.AutoBeat(0)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := a.Status(); got.Fresh {
			t.Errorf("fresh a minute after the last beat: %+v", got)
		}
	})
}

// New has one beat due, for the first who follows; AutoBeat takes its place.
func TestBeatOfNew(t *testing.T) {
	for _, tt := range []struct {
		name    string
		arrange func(*revocationtest.Feed)
		// beats is how many are stored once two replicas have been opened, and a minute later.
		beats, later uint64
	}{
		{"as it comes", func(*revocationtest.Feed) {}, 1, 1},
		{"with a beat of the test's own", func(f *revocationtest.Feed) { f.Beat() }, 2, 2},
		{"with AutoBeat", func(f *revocationtest.Feed) { f.AutoBeat(time.Second) }, 1, 61},
		{"without", func(f *revocationtest.Feed) { f.AutoBeat(0); f.Beat() }, 1, 1},
		{"AutoBeat that was taken back", func(f *revocationtest.Feed) { f.AutoBeat(time.Second); f.AutoBeat(0); f.Beat() }, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := revocationtest.New()
				tt.arrange(feed)
				for range 2 {
					if got := open(t, revocation.Config{Feed: feed}).Status(); !got.Fresh || got.Staleness != 0 {
						t.Errorf("opened with staleness %v, want a beat of just now", got.Staleness)
					}
				}
				if got := feed.Last(); got != tt.beats {
					t.Errorf("%d beats once opened, want %d", got, tt.beats)
				}
				feed.Break(errors.New("broken")) // following again stores no other
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := feed.Last(); got != tt.later {
					t.Errorf("%d beats a minute later, want %d", got, tt.later)
				}
			})
		})
	}
}

// It is dated when the feed is first followed, not when the feed was made.
func TestBeatOfNewIsDatedWhenFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		time.Sleep(time.Hour)
		if got := open(t, revocation.Config{Feed: feed}).Status(); !got.Fresh || got.Staleness != 0 {
			t.Errorf("opened with staleness %v, want 0", got.Staleness)
		}
	})
}

func TestStallHoldsBackAndDatesByStoring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		replica := open(t, revocation.Config{Feed: feed})
		before := replica.Status().Position
		time.Sleep(time.Second) // or the beat of New and the next would have one date
		feed.Stall()
		feed.Beat()
		last := feed.Publish(logout("s"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := replica.Status().Position; got != before {
			t.Errorf("position %d while stalled, want %d", got, before)
		}
		feed.Resume()
		synctest.Wait()
		if got := replica.Status(); got.Position != last || got.Staleness != 10*time.Second {
			t.Errorf("position %d, staleness %v; want %d and 10s: the beat was stored then", got.Position, got.Staleness, last)
		}
	})
}

func TestBreakIsNoticedThoughStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		lost := make(chan error, 1)
		replica := open(t, revocation.Config{Feed: feed, Hooks: revocation.Hooks{FeedLost: func(err error, _ time.Duration) { lost <- err }}})
		feed.Stall()
		broken := errors.New("broken")
		feed.Break(broken)
		if err := <-lost; err != broken { //nolint:errorlint // returned as it is
			t.Errorf("FeedLost(%v), want what Break was given", err)
		}
		feed.Resume()
		if err := replica.WaitFor(t.Context(), feed.Publish(logout("s"))); err != nil {
			t.Error(err)
		}
	})
}

func TestPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		replica := open(t, revocation.Config{Feed: feed})
		first := feed.Publish(logout("a"))
		for _, sid := range []string{"b", "c"} {
			feed.Publish(logout(sid))
		}
		synctest.Wait()
		feed.PutBack(first)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := replica.Status(); got.Position != first || got.Sessions != 3 {
			t.Errorf("position %d with %d sessions, want %d with all 3", got.Position, got.Sessions, first)
		}
		if got := feed.Publish(logout("d")); got != first+1 {
			t.Errorf("next position %d, want %d", got, first+1)
		}
	})
}

func TestPublishRefusesInvalidEvents(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	revocationtest.New().Publish(&events.SessionRevoked{})
}

func TestFeedIsSafeForConcurrentUse(t *testing.T) {
	feed := revocationtest.New()
	feed.AutoBeat(time.Millisecond)
	replicas := []*revocation.Replica{open(t, revocation.Config{Feed: feed}), open(t, revocation.Config{Feed: feed})}
	var wg sync.WaitGroup
	for _, do := range []func(){
		func() { feed.Publish(logout("s")) },
		func() { feed.Beat() },
		func() { feed.PublishRaw("curfew.v1.default.00.session", nil) },
		func() { feed.Stall(); feed.Resume() },
		func() { feed.ExpireBeats(); feed.RemoveLast() },
		func() { feed.Break(errors.New("broken")) },
	} {
		wg.Go(func() {
			for range 100 {
				do()
			}
		})
	}
	wg.Wait()
	last := feed.Publish(logout("t"))
	for _, replica := range replicas {
		if err := replica.WaitFor(t.Context(), last); err != nil {
			t.Error(err)
		}
	}
}
