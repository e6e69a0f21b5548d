package revocation

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
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
	for range 400 {
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
	sink := &sink{r: r, ctx: t.Context()}
	if _, err := sink.Begin(Head{Stream: "s@1", First: 1, Last: 2, Holds: func(Place) (bool, error) { return true, nil }}); err != nil {
		t.Fatal(err)
	}
	sink.Beat(Place{3, now, now})
	if d := r.Check(Session{ID: "b", User: "bob", AuthTime: now}); d.State != Active {
		t.Errorf("a session that has just begun is %v by %q", d.State, d.Scope)
	}
}

// The machine's clock, which is also its NATS server's, was a day ahead when somebody swept, and is right again. What ends within the day is still needed:
// what came before, and what comes now.
func TestBothClocksWereAhead(t *testing.T) {
	now := time.Now()
	shortLived := func(i int, sid string) *events.SessionRevoked {
		e := sessionOut(i, sid, now)
		e.SessionExpiresAt = now.Add(8 * time.Hour)
		return e
	}
	for _, tt := range []struct {
		name string
		// sweep is how the sweep that was too early judged the time.
		sweep func(r *Replica, ahead time.Time)
		held  bool
	}{
		{"as the sweeper does", func(r *Replica, ahead time.Time) { r.forget(r.steady.at(ahead, time.Minute)) }, true},
		{"for longer than is noticed", (*Replica).forget, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, sink := bare(Config{})
			r.steady.at(now, 0)
			sink.Event(Place{1, now, now}, shortLived(1, "before"))
			ahead := now.Add(24 * time.Hour)
			sink.Beat(Place{2, ahead, now})
			tt.sweep(r, ahead)
			sink.Beat(Place{3, now, now})
			sink.Event(Place{4, now, now}, shortLived(2, "after"))
			for sid, want := range map[string]bool{"before": tt.held, "after": true} {
				d := r.Check(Session{ID: sid, User: "ada", AuthTime: now.Add(-time.Minute)})
				if (d.State == Revoked) != want {
					t.Errorf("the session that was revoked %s the clock was ahead is %v (%v), want revoked: %t", sid, d.State, d.Cause, want)
				}
			}
		})
	}
}

// A sweep by a later clock between a Check's two looks, at the age and at the set: 1. it isn't too old; 2. its cutoff is forgotten; 3. there is no cutoff.
func TestSweptWithinACheck(t *testing.T) {
	now := time.Now()
	const rounds = 400
	var early, late int
	for range rounds {
		r, sink := bare(Config{MaxAge: time.Hour, Leeway: time.Second})
		e := everywhere(1, now)
		sink.Event(Place{1, now, now}, e)
		sink.Beat(Place{2, now.Add(5 * time.Hour), now})
		begin := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			<-begin
			r.forget(now.Add(3 * time.Hour))
		}()
		close(begin)
		for swept := false; !swept; {
			select {
			case <-done:
				swept = true
			default:
			}
			switch d := r.Check(Session{ID: "s", User: e.User, AuthTime: now.Add(-time.Second)}); {
			case d.State != Revoked:
				t.Fatalf("%v (%v)", d.State, d.Cause)
			case d.Scope == ScopeUser:
				early++
			default:
				late++
			}
		}
	}
	if early == 0 || late == 0 {
		t.Errorf("%d answers before and %d after the sweep, want some of both", early, late)
	}
}

// An auth time that is no date, by an embedder's mistake, is none within max age.
func TestAbsurdAuthTimes(t *testing.T) {
	now := time.Now()
	r, sink := bare(Config{})
	sink.Beat(Place{1, now, now})
	for _, at := range []time.Time{time.Unix(math.MinInt64, 0), time.Unix(math.MinInt64/1000, 0), time.Unix(-1, 0), time.Time{}.AddDate(1, 0, 0)} {
		if d := r.Check(Session{ID: "s", User: "ada", AuthTime: at}); d.State != Revoked || d.Scope != ScopeMaxAge {
			t.Errorf("begun at %d s: %v (%v), want revoked by max age", at.Unix(), d.State, d.Cause)
		}
	}
	if d := r.Check(Session{ID: "s", User: "ada", AuthTime: time.Unix(math.MaxInt64, 0)}); d.State == Active {
		t.Error("begun at the end of time: active")
	}
}

// The rest of a deadline that has passed is a budget that nothing meets.
func TestNegativeBudget(t *testing.T) {
	now := time.Now()
	r, sink := bare(Config{})
	sink.Beat(Place{1, now, now})
	s := Session{ID: "s", User: "ada", AuthTime: now}
	if d := r.CheckWith(s, Require{MaxStaleness: -time.Nanosecond}); !errors.Is(d.Cause, ErrStale) {
		t.Errorf("%v (%v), want undetermined: ErrStale", d.State, d.Cause)
	}
}
