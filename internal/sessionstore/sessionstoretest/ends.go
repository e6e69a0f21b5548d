package sessionstoretest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

func testWarn(t *testing.T, open Opener) {
	s, other := open(), open()
	session := sample("s-1")
	create(t, s, session)
	sees(t, other, session)
	warn := func(by sessionstore.Store, seen time.Time, want bool) {
		t.Helper()
		if ok, err := by.Warn(t.Context(), session.Key(), seen); err != nil || ok != want {
			t.Errorf("warn: %v, %v, want %v", ok, err, want)
		}
	}
	warn(s, session.SeenAt.Add(-time.Second), false)
	warn(s, session.SeenAt, true)
	warn(other, session.SeenAt, false) // whether it has heard of it or not
	session.Warned = true
	sees(t, s, session)
	later := session.SeenAt.Add(time.Minute)
	got, err := other.Touch(t.Context(), "acme", []sessionstore.Touch{{ID: "s-1", At: later}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]sessionstore.Touched{{Outcome: sessionstore.Taken, SeenAt: later, Renewed: true}}, got); diff != "" {
		t.Errorf("touch (-want +got):\n%s", diff)
	}
	warn(s, session.SeenAt, false) // whether it has heard of the touch or not
	touchedNow := session
	touchedNow.SeenAt, touchedNow.Warned = later, false
	sees(t, s, touchedNow)
	warn(s, later, true)
	if ok, err := s.Warn(t.Context(), sessionstore.Key{Tenant: "acme", ID: "nobody"}, time.Time{}); ok || err != nil {
		t.Errorf("unknown: %v, %v", ok, err)
	}
	if _, _, err := other.End(t.Context(), session.Key(), sessionstore.End{At: later, Reason: events.ReasonAdmin, Position: 1}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	warn(s, later, false)
}

func testEnd(t *testing.T, open Opener) {
	s, other := open(), open()
	session := sample("s-1")
	create(t, s, session)
	sees(t, other, session)
	end := sessionstore.End{At: session.SeenAt.Add(time.Minute), Reason: events.ReasonCompromised, Event: "e-1", Position: 42}
	if _, ended, err := s.End(t.Context(), session.Key(), end, session.SeenAt.Add(-time.Second)); err != nil || ended {
		t.Errorf("touched meanwhile: %v, %v", ended, err)
	}
	got, ended, err := other.End(t.Context(), session.Key(), end, session.SeenAt)
	if err != nil || !ended {
		t.Fatal(ended, err)
	}
	session.Ended = &end
	if diff := cmp.Diff(session, got); diff != "" {
		t.Errorf("end (-want +got):\n%s", diff)
	}
	sees(t, s, session)
	got, ended, err = s.End(t.Context(), session.Key(), sessionstore.End{At: end.At, Reason: events.ReasonAdmin, Event: "e-2", Position: 43}, time.Time{})
	if err != nil || ended {
		t.Errorf("again: %v, %v", ended, err)
	}
	if diff := cmp.Diff(session, got); diff != "" {
		t.Errorf("again (-want +got):\n%s", diff)
	}
	touched, err := s.Touch(t.Context(), "acme", []sessionstore.Touch{{ID: "s-1", At: end.At}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]sessionstore.Touched{{Outcome: sessionstore.Over, SeenAt: session.SeenAt}}, touched); diff != "" {
		t.Errorf("touch (-want +got):\n%s", diff)
	}
	if _, _, err := s.End(t.Context(), sessionstore.Key{Tenant: "acme", ID: "nobody"}, end, time.Time{}); !errors.Is(err, sessionstore.ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
}

// testPendingEnd: whoever is about to publish the end of a session has it to itself, until the event is stored or another one was.
func testPendingEnd(t *testing.T, open Opener) {
	s, other := open(), open()
	session := sample("s-1")
	create(t, s, session)
	sees(t, other, session)
	pending := sessionstore.End{At: session.SeenAt, Reason: events.ReasonIdleTimeout, Event: "e-1"}
	for i, by := range []sessionstore.Store{s, other} {
		claim := pending
		claim.Event = fmt.Sprintf("e-%d", i+1)
		got, ended, err := by.End(t.Context(), session.Key(), claim, session.SeenAt)
		if err != nil || ended != (i == 0) || got.Ended.Event != "e-1" {
			t.Errorf("claim %d: %v, %v, %+v", i, ended, err, got.Ended)
		}
	}
	stored := pending
	stored.Position = 9
	if _, ended, err := other.End(t.Context(), session.Key(), stored, time.Time{}); err != nil || !ended {
		t.Errorf("stored: %v, %v", ended, err)
	}
	session.Ended = &stored
	sees(t, s, session)
}

// testKept: one that has ended is listed, with why, for KeepEnded from its end, whenever it would have expired; then it is gone.
func testKept(t *testing.T, open Opener) {
	s := open()
	now := time.Now().UTC().Truncate(time.Millisecond)
	end := func(id string, ago time.Duration) sessionstore.Session {
		t.Helper()
		session := sample(id)
		create(t, s, session)
		e := sessionstore.End{At: now.Add(-ago), Reason: events.ReasonCompromised, Event: "e-" + id, Position: 7}
		if _, ended, err := s.End(t.Context(), session.Key(), e, time.Time{}); err != nil || !ended {
			t.Fatalf("end %q: %v, %v", id, ended, err)
		}
		session.Ended = &e
		return session
	}
	kept, gone := end("kept", sessionstore.KeepEnded-time.Hour), end("gone", sessionstore.KeepEnded+time.Minute)
	sees(t, s, kept)
	var told string
	await(t, func() bool {
		list, _, err := s.Sessions(t.Context(), "acme", "u-1", 10)
		_, lost := s.Session(t.Context(), gone.Key())
		told = fmt.Sprintf("%+v, %v, %v", list, err, lost)
		return len(list) == 1 && cmp.Equal(list[0], kept) && errors.Is(lost, sessionstore.ErrUnknown)
	}, &told)
}

func due(t *testing.T, s sessionstore.Store, at time.Time, limit int) []string {
	t.Helper()
	keys, err := s.Due(t.Context(), at, limit)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, len(keys))
	for i, key := range keys {
		ids[i] = key.ID
	}
	return ids
}

func testDue(t *testing.T, open Opener) {
	s := open()
	at := start()
	for i := range 4 {
		session := sample(fmt.Sprintf("s-%d", i))
		if _, _, err := s.Create(t.Context(), session, at.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(name string, at time.Time, limit int, want ...string) {
		t.Helper()
		if got := due(t, s, at, limit); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	check("before", at.Add(-time.Millisecond), 10)
	check("two", at.Add(time.Second), 10, "s-0", "s-1")
	check("again", at.Add(time.Second), 10, "s-0", "s-1")
	check("limited", at.Add(time.Hour), 3, "s-0", "s-1", "s-2")
	postpone := func(id string, next time.Time) {
		t.Helper()
		if err := s.Postpone(t.Context(), sessionstore.Key{Tenant: "acme", ID: id}, next); err != nil {
			t.Fatal(err)
		}
	}
	postpone("s-0", at.Add(10*time.Second))
	postpone("s-1", time.Time{})
	postpone("nobody", at)
	check("postponed", at.Add(time.Hour), 10, "s-2", "s-3", "s-0")
	postpone("s-1", at)
	check("back", at.Add(time.Hour), 10, "s-1", "s-2", "s-3", "s-0")
	end := func(id string, e sessionstore.End) {
		t.Helper()
		if _, ended, err := s.End(t.Context(), sessionstore.Key{Tenant: "acme", ID: id}, e, time.Time{}); err != nil || !ended {
			t.Fatal(ended, err)
		}
	}
	end("s-2", sessionstore.End{At: at, Reason: events.ReasonIdleTimeout, Event: "e"})
	end("s-3", sessionstore.End{At: at, Reason: events.ReasonAdmin, Event: "e", Position: 3})
	check("ended and pending", at.Add(time.Hour), 10, "s-1", "s-2", "s-0")
	end("s-2", sessionstore.End{At: at, Reason: events.ReasonIdleTimeout, Event: "e", Position: 4})
	end("s-0", sessionstore.End{At: at, Reason: events.ReasonMaxAge})
	check("ended", at.Add(time.Hour), 10, "s-1")
}

func testHasten(t *testing.T, open Opener) {
	s := open()
	at := start()
	for i, due := range []time.Time{at, at.Add(time.Hour), at.Add(2 * time.Hour)} {
		if _, _, err := s.Create(t.Context(), sample(fmt.Sprintf("s-%d", i)), due); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.End(t.Context(), sessionstore.Key{Tenant: "acme", ID: "s-2"}, sessionstore.End{At: at, Reason: events.ReasonAdmin, Position: 3}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Hasten(t.Context(), at.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	// A store whose sessions tell by themselves when they are due has nothing to hasten.
	if got := due(t, s, at.Add(time.Minute), 10); !slices.Equal(got, []string{"s-0", "s-1"}) && !slices.Equal(got, []string{"s-0"}) {
		t.Errorf("due: %q", got)
	}
}

// testTouchesAgainstEnd attacks the promise that a session which was touched isn't ended as idle: whoever was told that a later touch was taken knows that no end
// which goes by an earlier one succeeds.
func testTouchesAgainstEnd(t *testing.T, open Opener) {
	stores := []sessionstore.Store{open(), open(), open()}
	var ended, touched int
	for round := range 60 {
		session := sample(fmt.Sprintf("s-%d", round))
		create(t, stores[0], session)
		for _, s := range stores {
			sees(t, s, session)
		}
		var taken, over, ends atomic.Int32
		var work sync.WaitGroup
		for i, s := range stores {
			work.Go(func() {
				if i == 0 {
					_, ok, err := s.End(t.Context(), session.Key(), sessionstore.End{At: session.SeenAt, Reason: events.ReasonIdleTimeout, Event: "e"}, session.SeenAt)
					if err != nil {
						t.Error(err)
					}
					if ok {
						ends.Add(1)
					}
					return
				}
				got, err := s.Touch(t.Context(), "acme", []sessionstore.Touch{{ID: session.ID, At: session.SeenAt.Add(time.Duration(i) * time.Minute)}})
				if err != nil {
					t.Error(err)
					return
				}
				switch got[0].Outcome {
				case sessionstore.Taken:
					taken.Add(1)
				case sessionstore.Over:
					over.Add(1)
				default:
					t.Errorf("outcome %v", got[0].Outcome)
				}
			})
		}
		work.Wait()
		if ends.Load() > 0 && taken.Load() > 0 || ends.Load() == 0 && over.Load() > 0 {
			t.Fatalf("round %d: %d ends, %d touches taken, %d over", round, ends.Load(), taken.Load(), over.Load())
		}
		ended += int(ends.Load())
		touched += int(taken.Load())
	}
	t.Logf("%d were ended, %d touches were taken", ended, touched)
}

func testTouchesAtOnce(t *testing.T, open Opener) {
	stores := []sessionstore.Store{open(), open()}
	session := sample("s-1")
	create(t, stores[0], session)
	sees(t, stores[1], session)
	const each = 10
	var work sync.WaitGroup
	for i := range 2 * each {
		work.Go(func() {
			got, err := stores[i%2].Touch(t.Context(), "acme", []sessionstore.Touch{{ID: "s-1", At: session.SeenAt.Add(time.Duration(i) * time.Second)}})
			if err != nil || got[0].Outcome != sessionstore.Taken || got[0].SeenAt.Before(session.SeenAt.Add(time.Duration(i)*time.Second)) {
				t.Errorf("touch %d: %+v, %v", i, got, err)
			}
		})
	}
	work.Wait()
	session.SeenAt = session.SeenAt.Add((2*each - 1) * time.Second)
	sees(t, stores[0], session)
	sees(t, stores[1], session)
}
