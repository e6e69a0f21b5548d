package sessionkv

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

// witness is what callers were told of one session.
type witness struct {
	mu     sync.Mutex
	taken  time.Time         // the latest touch that was taken
	claims map[string]string // event → by what touch, of claims that were told to have been made
	seen   map[string]time.Time
}

// call is one of a run's calls: who makes it, of what.
type call struct {
	what, event string
	session     int
	at          time.Duration // after the sessions' begin
}

// witnessed is how many sessions there are, and runs how many runs at most.
const witnessed, runs = 3, 15

type several struct {
	tenant    string
	begun     time.Time
	witnesses [witnessed]witness
}

func (r *several) key(i int) sessionstore.Key {
	return sessionstore.Key{Tenant: r.tenant, ID: fmt.Sprintf("s-%d", i)}
}

// make makes a call as a process would: a claim and a warning go by what it knows. Whether an error means that it was made isn't known.
func (r *several) make(s *Store, c call) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	key, w := r.key(c.session), &r.witnesses[c.session]
	switch c.what {
	case "touch":
		var touches []sessionstore.Touch // the same once more, and the others too
		for i := range witnessed {
			touches = append(touches, sessionstore.Touch{ID: r.key((c.session + i) % witnessed).ID, At: r.begun.Add(c.at)})
		}
		touches = append(touches, sessionstore.Touch{ID: key.ID, At: r.begun.Add(c.at - time.Second)}, sessionstore.Touch{ID: "nobody", At: r.begun})
		got, err := s.Touch(ctx, r.tenant, touches)
		if err != nil {
			return err
		}
		for i := range witnessed {
			w := &r.witnesses[(c.session+i)%witnessed]
			w.mu.Lock()
			if got[i].Outcome == sessionstore.Taken && got[i].SeenAt.After(w.taken) {
				w.taken = got[i].SeenAt
			}
			w.mu.Unlock()
		}
		return nil
	case "fold":
		s.fold(ctx, time.Now().Add(time.Hour))
		return nil
	}
	known, err := s.Session(ctx, key)
	if err != nil {
		return err
	}
	if c.what == "warn" {
		_, err := s.Warn(ctx, key, known.SeenAt)
		return err
	}
	_, ended, err := s.End(ctx, key, sessionstore.End{At: r.begun, Reason: events.ReasonIdleTimeout, Event: c.event}, known.SeenAt)
	if ended && err == nil {
		w.mu.Lock()
		w.claims[c.event], w.seen[c.event] = c.what, known.SeenAt
		w.mu.Unlock()
	}
	return err
}

func drawCalls(t *rapid.T, by string) []call {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) call {
		return call{
			what:    rapid.SampledFrom([]string{"touch", "touch", "touch", "warn", "claim", "fold"}).Draw(t, "what"),
			session: rapid.IntRange(0, witnessed-1).Draw(t, "session"),
			at:      time.Duration(rapid.IntRange(0, 9).Draw(t, "at")) * time.Second,
		}
	}), 1, 8).Draw(t, by)
}

// TestSeveralProcesses: processes touch, warn, claim and fold the same sessions at the same time, and some of them lose their connection meanwhile. All take the same for what holds afterwards, and
// so do one that has just come back and one that has just started. Of each session at most one claim was made, and none by an earlier touch than one that was taken.
func TestSeveralProcesses(t *testing.T) {
	srv := natstest.Start(t)
	cfg, addr := bus.Config{URL: srv.URL()}, srv.Addr()
	direct := natstest.Open(t, cfg)
	first := openOver(t, direct)
	links := []link{linked(t, addr), linked(t, addr)}
	stores := []*Store{first, openOver(t, natstest.Open(t, cfg)), links[0].Store, links[1].Store}
	away := linked(t, addr)
	run, claimed, failed := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		if run == runs {
			return
		}
		run++
		r := &several{tenant: fmt.Sprintf("t-%d", run), begun: time.Now().UTC().Truncate(time.Millisecond).Add(-time.Minute)}
		for i := range r.witnesses {
			key := r.key(i)
			r.witnesses[i].claims, r.witnesses[i].seen = map[string]string{}, map[string]time.Time{}
			s := sessionstore.Session{Tenant: key.Tenant, ID: key.ID, User: "ada", AuthTime: r.begun, CreatedAt: r.begun, SeenAt: r.begun, ExpiresAt: r.begun.Add(time.Hour)}
			eventually(t, "registered", func() bool {
				_, _, err := first.Create(context.Background(), s, s.ExpiresAt)
				return err == nil
			})
		}
		caughtUp(t, stores...)
		away.proxy.Stall()
		away.proxy.Cut()
		calls := make([][]call, len(stores))
		for i := range stores {
			calls[i] = drawCalls(rt, fmt.Sprintf("calls of %d", i))
		}
		cut := rapid.SliceOfN(rapid.IntRange(-2, 7), len(links), len(links)).Draw(rt, "cut before")
		hard := rapid.IntRange(0, 29).Draw(rt, "cut in the middle of a call") == 0 // which then waits for its time
		purge := rapid.Bool().Draw(rt, "sheets expire")
		var work sync.WaitGroup
		var mu sync.Mutex
		for i, s := range stores {
			work.Go(func() {
				for j, c := range calls[i] {
					if l := i - 2; l >= 0 && cut[l] == j {
						links[l].cut(t, hard)
					}
					c.event = fmt.Sprintf("e-%d-%d", i, j)
					if err := r.make(s, c); err != nil {
						if !errors.Is(err, sessionstore.ErrUnavailable) {
							rt.Errorf("%+v: %v", c, err)
						}
						mu.Lock()
						failed++
						mu.Unlock()
					}
				}
			})
		}
		work.Wait()
		away.back(t)
		for _, l := range links {
			eventually(t, "connected again", l.current)
		}
		caughtUp(t, append(stores, away.Store)...)
		if purge { // the sessions' own entries tell of the touches before
			for _, s := range stores {
				s.fold(context.Background(), time.Now().Add(time.Hour))
			}
			caughtUp(t, append(stores, away.Store)...)
			eventually(t, "the sheets are gone", func() bool {
				return first.stream.Purge(context.Background(), jetstream.WithPurgeSubject(first.prefix+sheetPrefix+">")) == nil
			})
		}
		late := openOver(t, direct)
		defer late.Close()
		for i := range r.witnesses {
			want, _, _ := first.get(r.key(i))
			for j, s := range append(stores[1:], away.Store, late) {
				got, _, _ := s.get(r.key(i))
				if diff := cmp.Diff(want, got); diff != "" {
					rt.Errorf("session %d, store %d (-first +that):\n%s", i, j+1, diff)
				}
			}
			w := &r.witnesses[i]
			if len(w.claims) > 1 {
				rt.Errorf("session %d: claims %v", i, w.claims)
			}
			for event, seen := range w.seen {
				claimed++
				if w.taken.After(seen) {
					rt.Errorf("session %d: claimed by %s as last seen at %v, and a touch at %v was taken", i, event, seen, w.taken)
				}
				if want.Ended == nil || want.Ended.Event != event {
					rt.Errorf("session %d: claimed by %s, and %+v holds", i, event, want.Ended)
				}
			}
			if want.SeenAt.Before(w.taken) {
				rt.Errorf("session %d: seen at %v, and a touch at %v was taken", i, want.SeenAt, w.taken)
			}
		}
	})
	t.Logf("%d runs: %d claims, %d calls failed", run, claimed, failed)
}
