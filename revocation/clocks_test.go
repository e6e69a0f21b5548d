package revocation

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// The state is the same whoever read an event first, also if it names an end that lies beyond the clockwork's reach: what cuts it is the event's own
// time, not that of whoever applies it.
func TestFarEndsDoNotDependOnWhenTheyAreRead(t *testing.T) {
	var digests [2][32]byte
	for i, wait := range []time.Duration{0, 20 * 24 * time.Hour} { // read at once, and by a replica that starts later
		synctest.Test(t, func(t *testing.T) {
			stored := time.Now()
			e := sessionOut(1, "s", stored)
			e.SessionExpiresAt = stored.Add(10 * 365 * 24 * time.Hour)
			s := newSet(keepDefaults, testKey)
			time.Sleep(wait)
			s.apply(e, 1, stored)
			digests[i] = s.digest()
		})
	}
	if digests[0] != digests[1] {
		t.Error("two replicas that have applied the same event have different digests, for as long as both live")
	}
}

// Rule 9, a ledger with a quiet weekend: the sweep on Monday is by a clock to which Friday lies ahead.
func TestQuietWeekendInTheLedger(t *testing.T) {
	now := time.Now()
	r, sink := bare(Config{MaxAge: 15 * time.Minute})
	friday := now.Add(-62 * time.Hour)
	for i := range 1000 {
		sink.Event(Place{uint64(i + 1), friday, friday}, sessionOut(i, fmt.Sprint("f", i), friday))
	}
	sink.Event(Place{1001, now, now}, sessionOut(1001, "m", now))
	sink.Beat(Place{1002, now, now})
	r.forget(now)
	if sessions, _ := r.set.Load().size(); sessions != 1 {
		t.Errorf("%d entries are held, want 1", sessions)
	}
}

// The same for a stream that is read again from its beginning: since stays where the first reading ended.
func TestLedgerReadAgain(t *testing.T) {
	now := time.Now()
	r, sink := bare(Config{MaxAge: 15 * time.Minute})
	read := func() {
		for i := range 3 * 24 * 60 {
			at := now.Add(-3*24*time.Hour + time.Duration(i)*time.Minute)
			sink.Event(Place{uint64(i + 1), at, at}, sessionOut(i, fmt.Sprint("s", i), at))
		}
		sink.Beat(Place{3*24*60 + 1, now, now})
		r.forget(now)
	}
	read()
	first, _ := r.set.Load().size()
	if _, err := sink.Begin(Head{Stream: "s@2", First: 1, Last: 3*24*60 + 1}); err != nil {
		t.Fatal(err)
	}
	read()
	if again, _ := r.set.Load().size(); again != first {
		t.Errorf("%d entries are held after the first reading, and %d after the second", first, again)
	}
}

// Two forget at once, as the sweeper and the feed may, by clocks that differ: up to when was forgotten never goes back, or what is gone would be neither
// held nor refused by age, once the clock is set back.
func TestSweptNeverGoesBack(t *testing.T) {
	const maxAge, leeway = time.Hour, time.Minute
	now := time.Now()
	for range 2000 {
		r, sink := bare(Config{MaxAge: maxAge, Leeway: leeway})
		sink.Event(Place{1, now, now}, everywhere(1, now))
		sink.Beat(Place{2, now.Add(5 * time.Hour), now})
		done := make(chan struct{})
		go func() { defer close(done); r.forget(now.Add(3 * time.Hour)) }()
		r.forget(now.Add(30 * time.Minute))
		<-done
		_, held := r.set.Load().size()
		if swept := r.swept.Load(); held == 0 && swept < millis(now.Add(3*time.Hour)) {
			t.Fatalf("a cutoff was forgotten, and swept is %v", time.UnixMilli(swept).Sub(now))
		}
	}
}

// A snapshot whose writer's clock, and its stream's, were a year ahead now makes every reader refuse every session, and a restart doesn't mend that.
func TestSnapshotOfAWriterAYearAhead(t *testing.T) {
	now := time.Now()
	writer, first := bare(Config{})
	ahead := now.Add(365 * 24 * time.Hour)
	first.Event(Place{1, ahead, now}, sessionOut(1, "a", ahead))
	first.Beat(Place{2, ahead, now})
	writer.forget(ahead)
	b := writtenBy(t, writer)
	r := newReplica(Config{Snapshots: []Snapshots{memory(b)}}.withDefaults())
	sink := &sink{r, t.Context()}
	if _, err := sink.Begin(Head{Stream: "s@1", First: 1, Last: 2, Holds: func(Place) (bool, error) { return true, nil }}); err != nil {
		t.Fatal(err)
	}
	sink.Beat(Place{3, now, now})
	if d := r.Check(Session{ID: "b", User: "bob", AuthTime: now}); d.State != Active {
		t.Errorf("a session that has just begun is %v by %q", d.State, d.Scope)
	}
}
