package revocation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
)

// patience bounds waits that succeed in a moment unless something is broken.
const patience = 20 * time.Second

// watchingReplica returns a bare replica, its sink, and what ends its watching; that is called with the test's end.
func watchingReplica(t testing.TB) (*Replica, *sink, func()) {
	t.Helper()
	r, s := bare(Config{StalenessBudget: time.Hour})
	// The replica has just begun, and would check all watches: not those of the test, at any time.
	r.endMass()
	stop := sync.OnceFunc(r.watchOver())
	t.Cleanup(stop)
	return r, s, stop
}

func await(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}

// Whatever is watched and whatever happens, in any order: over are the contexts of exactly those sessions that Check says are over.
func TestWatchesAreWhatTheModelSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, sink := bare(Config{StalenessBudget: time.Hour, MaxAge: 365 * 24 * time.Hour})
		stopWatching := r.watchOver()
		type one struct {
			s    Session
			ctx  context.Context
			stop func()
			gone bool
		}
		var all []*one
		sessions, list := genSessions.Draw(t, "sessions"), genEvents.Draw(t, "events")
		for len(sessions)+len(list) > 0 {
			switch what := rapid.IntRange(0, 4).Draw(t, "what"); {
			case what <= 1 && len(sessions) > 0:
				o := &one{s: sessions[0]}
				sessions = sessions[1:]
				o.ctx, o.stop, _ = r.Watch(context.Background(), o.s, Require{})
				all = append(all, o)
			case what <= 3 && len(list) > 0:
				sink.Event(Place{Position: r.position.Load() + 1}, list[0])
				list = list[1:]
			case len(all) > 0:
				o := all[rapid.IntRange(0, len(all)-1).Draw(t, "stopped")]
				o.gone = o.gone || o.ctx.Err() == nil
				o.stop()
			}
		}
		stopWatching()
		for _, o := range all {
			over := r.Check(o.s).State == Revoked
			switch ended := errors.Is(context.Cause(o.ctx), ErrSessionEnded); {
			case o.gone && ended:
				t.Fatalf("%+v has ended after stop", o.s)
			case !o.gone && ended != over:
				t.Fatalf("%+v has ended: %v, is over: %v", o.s, ended, over)
			case !o.gone && !ended && o.ctx.Err() != nil:
				t.Fatalf("%+v: %v", o.s, context.Cause(o.ctx))
			}
			o.stop()
		}
		if n := r.Watched(); n != 0 {
			t.Fatalf("%d watches are left", n)
		}
	})
}

// Trap 8. Sessions are watched while events end them, by each kind of event, by few and by many. However the two interleave, whoever is over
// has ended, and nobody else.
func TestTrap8WatchLosesNothing(t *testing.T) {
	r, sink, stop := watchingReplica(t)
	const rounds, per = 60, 3 * endAtOnce
	for round := range rounds {
		tenant := fmt.Sprintf("t%d", round)
		now := time.Now()
		c := common(round, now)
		c.Tenant = tenant
		reaching := func(i int) Session { // for kinds that reach all, and those that reach one
			return Session{Tenant: tenant, ID: fmt.Sprint(i), User: "ada", Device: "mac", Client: "web", AuthTime: now.Add(-time.Hour)}
		}
		var list []events.Event
		switch round % 6 {
		case 0:
			list = append(list, &events.UserLoggedOutEverywhere{Common: c, User: "ada", Cutoff: now})
		case 1:
			list = append(list, &events.DeviceLoggedOut{Common: c, Device: "mac", Cutoff: now})
		case 2:
			list = append(list, &events.ClientLoggedOut{Common: c, Client: "web", Cutoff: now})
		case 3:
			list = append(list, &events.TenantLoggedOut{Common: c, Cutoff: now})
		case 4:
			for i := range per {
				list = append(list, &events.SessionRevoked{Common: c, Session: fmt.Sprint(i)})
			}
		case 5:
			for first := 0; first < per; first += 32 {
				e := &events.UserLoggedOutEverywhere{Common: c, User: "bob", Cutoff: now}
				for i := range 32 {
					e.KnownSessions = append(e.KnownSessions, fmt.Sprint(first+i))
				}
				list = append(list, e)
			}
		}
		contexts := make([]context.Context, per)
		start := make(chan struct{})
		var wg sync.WaitGroup
		const goroutines = 4
		for g := range goroutines {
			wg.Go(func() {
				<-start
				for i := g; i < per; i += goroutines {
					ctx, _, d := r.Watch(context.Background(), reaching(i), Require{})
					if d.State == Revoked && ctx.Err() == nil {
						t.Errorf("session %d is over, and its context isn't when Watch returns", i)
					}
					contexts[i] = ctx
				}
			})
		}
		spared, stopSpared, _ := r.Watch(context.Background(), Session{Tenant: "spared", ID: "1", User: "ada", Device: "mac", Client: "web", AuthTime: now}, Require{})
		wg.Go(func() {
			<-start
			for range rand.N(200) {
				runtime.Gosched()
			}
			for _, e := range list {
				sink.Event(Place{Position: r.position.Load() + 1}, e)
			}
		})
		close(start)
		wg.Wait()
		for i, ctx := range contexts {
			await(t, fmt.Sprintf("the end of session %d in round %d", i, round), ctx.Done())
			if !errors.Is(context.Cause(ctx), ErrSessionEnded) {
				t.Errorf("the cause is %v", context.Cause(ctx))
			}
		}
		if spared.Err() != nil {
			t.Error("who isn't affected has ended")
		}
		stopSpared()
	}
	stop()
	if n := r.Watched(); n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

// Contexts that end while they are begun to be watched leave nothing behind:
//
//  1. Watch hooks itself to ctx; 2. ctx ends, and there is no watch yet to remove; 3. the watch is put in, for ever.
func TestWatchOfAnEndingContextLeavesNothing(t *testing.T) {
	r, _, _ := watchingReplica(t)
	s := Session{ID: "1", User: "ada", AuthTime: epoch}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				ctx, cancel := context.WithCancel(context.Background())
				go cancel()
				for range rand.N(8) {
					runtime.Gosched()
				}
				r.Watch(ctx, s, Require{})
				<-ctx.Done()
			}
		})
	}
	wg.Wait()
	// What an ending context calls runs in a goroutine of its own.
	for begun := time.Now(); r.Watched() > 0; runtime.Gosched() {
		if time.Since(begun) > patience {
			t.Fatalf("%d watches are left", r.Watched())
		}
	}
}

// An event, stop and the context's end at once: at most one of them ends the watch, and ended isn't called once stop has said so.
func TestWatchFuncEndsOnce(t *testing.T) {
	r, sink, _ := watchingReplica(t)
	const n = 2000
	for i := range n {
		s := Session{ID: fmt.Sprint(i), User: "ada", AuthTime: epoch}
		var told, stopped atomic.Int64
		stop := r.WatchFunc(s, func(Decision) { told.Add(1) })
		var wg sync.WaitGroup
		wg.Go(func() { sink.Event(Place{Position: uint64(i + 1)}, sessionOut(i, s.ID, time.Now())) })
		for range 2 {
			wg.Go(func() {
				if stop() {
					stopped.Add(1)
				}
			})
		}
		wg.Wait()
		if told.Load()+stopped.Load() != 1 {
			t.Fatalf("session %d: told %d times, stopped %d times, want 1 together", i, told.Load(), stopped.Load())
		}
	}
}

// stuck makes a mass logout, of which the first watch that it ends stands still until release is called, or the test ends.
func stuck(t *testing.T, r *Replica) (logout events.Event, entered chan struct{}, release func()) {
	t.Helper()
	entered, released := make(chan struct{}), make(chan struct{})
	release = sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	var once sync.Once
	for i := range endAtOnce + 1 {
		r.WatchFunc(Session{Tenant: "stuck", ID: fmt.Sprint(i), User: "ada", AuthTime: epoch}, func(Decision) {
			once.Do(func() {
				close(entered)
				<-released
			})
		})
	}
	return tenantOut("stuck", time.Now()), entered, release
}

// crowdOf watches n sessions of a tenant.
func crowdOf(r *Replica, tenant string, n int) []context.Context {
	contexts := make([]context.Context, n)
	for i := range contexts {
		contexts[i], _, _ = r.Watch(context.Background(), Session{Tenant: tenant, ID: fmt.Sprint(i), User: fmt.Sprint(i), AuthTime: epoch}, Require{})
	}
	return contexts
}

// A mass logout doesn't hold up the events after it: while it is under way, others are applied and end what they end.
func TestMassLogoutDoesNotHoldUpTheFeed(t *testing.T) {
	r, sink, stop := watchingReplica(t)
	logout, entered, release := stuck(t, r)
	one, _, _ := r.Watch(context.Background(), Session{ID: "1", User: "ada", AuthTime: epoch}, Require{})
	applied := make(chan struct{})
	go func() {
		sink.Event(Place{Position: 1}, logout)
		close(applied)
	}()
	await(t, "the mass logout to begin", entered)
	await(t, "the feed's goroutine to go on", applied)
	sink.Event(Place{Position: 2}, sessionOut(1, "1", time.Now()))
	if !errors.Is(context.Cause(one), ErrSessionEnded) {
		t.Error("a session that was revoked meanwhile hasn't ended when its event has been applied")
	}
	release()
	stop()
	if n := r.Watched(); n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

// More mass logouts than wait: then all watches are looked at, and none is lost.
func TestMoreMassLogoutsThanWait(t *testing.T) {
	r, sink, stop := watchingReplica(t)
	logout, entered, release := stuck(t, r)
	sink.Event(Place{Position: 1}, logout)
	await(t, "the first mass logout to begin", entered)
	const masses = maxMass + 3
	var over []context.Context
	for i := range masses {
		tenant := fmt.Sprintf("t%d", i)
		over = append(over, crowdOf(r, tenant, endAtOnce+1)...)
		sink.Event(Place{Position: uint64(i + 2)}, tenantOut(tenant, time.Now()))
		if waiting := len(r.watches.mass); waiting > maxMass {
			t.Fatalf("%d events wait", waiting)
		}
	}
	alive := crowdOf(r, "alive", endAtOnce+1)
	if !r.watches.all {
		t.Error("that there were too many isn't noted")
	}
	release()
	for i, ctx := range over {
		await(t, fmt.Sprintf("the end of watch %d", i), ctx.Done())
	}
	stop()
	for _, ctx := range alive {
		if ctx.Err() != nil {
			t.Fatal("who isn't affected has ended")
		}
	}
	if n := r.Watched(); n != len(alive) {
		t.Errorf("%d watches are left, want %d", n, len(alive))
	}
}

// What has been applied before Close ends its watches, also the last mass logout.
func TestWatchesEndBeforeCloseReturns(t *testing.T) {
	for range 30 { // the goroutine has two things to do then, and takes either first
		r, sink, stop := watchingReplica(t)
		over := crowdOf(r, "t", 2*endAtOnce)
		sink.Event(Place{Position: 1}, tenantOut("t", time.Now()))
		stop()
		for _, ctx := range over {
			if !errors.Is(context.Cause(ctx), ErrSessionEnded) {
				t.Fatalf("the cause is %v", context.Cause(ctx))
			}
		}
	}
}

// A replica that begins anew may have learnt of revocations in other ways than by an event: all watches are checked then.
func TestWatchesAreCheckedWhenTheStreamBeginsAnew(t *testing.T) {
	r, sink, _ := watchingReplica(t)
	over, alive := crowdOf(r, "t", 3*endAtOnce), crowdOf(r, "alive", 3*endAtOnce)
	r.set.Load().apply(tenantOut("t", time.Now()), 1, time.Time{}) // as a snapshot does
	if _, err := sink.Begin(Head{Stream: "s@2"}); err != nil {
		t.Fatal(err)
	}
	for i, ctx := range over {
		await(t, fmt.Sprintf("the end of watch %d", i), ctx.Done())
	}
	for _, ctx := range alive {
		if ctx.Err() != nil {
			t.Fatal("who isn't affected has ended")
		}
	}
}

// A clock that is set back after a watch was found to be past max age must not make it forgotten.
func TestMaxAgeSurvivesAClockThatIsSetBack(t *testing.T) {
	r, _ := bare(Config{StalenessBudget: time.Hour, MaxAge: time.Hour})
	s := Session{ID: "1", User: "ada", AuthTime: time.Now().Add(-time.Hour + time.Minute)}
	ctx, stop, _ := r.Watch(context.Background(), s, Require{})
	defer stop()
	e := r.watches.live.All()[0]
	// The clock showed the end when the search began, and doesn't when the session is checked.
	end := r.maxAgeOf(s)
	if next := r.endAgedAt(int(e.home), end); next != end || ctx.Err() != nil {
		t.Errorf("the next is %d, want %d; it has ended: %v", next, end, context.Cause(ctx))
	}
	if age := r.watches.ages[e.home].Load(); age != end {
		t.Errorf("expected at %d, want %d", age, end)
	}
}

// What an event costs the feed follows from the watches that it affects, not from those that there are: no other is looked at.
func TestAnEventLooksAtWhatItAffects(t *testing.T) {
	r, sink, _ := watchingReplica(t)
	const crowd = 100_000
	ended := 0
	watched := func(s Session) { r.WatchFunc(s, func(Decision) { ended++ }) }
	begun := time.Now().Add(-time.Hour)
	for i := range crowd {
		id := fmt.Sprint("crowd", i)
		watched(Session{ID: id, User: id, Device: id, Client: "all", AuthTime: begun})
	}
	now := time.Now()
	elsewhere := func(c events.Common) events.Common {
		c.Tenant = "elsewhere"
		return c
	}
	for i, tt := range []struct {
		name    string
		session Session
		event   events.Event
	}{
		{"session", Session{ID: "one"}, &events.SessionRevoked{Common: common(1, now), Session: "one"}},
		{"user", Session{User: "one"}, &events.UserLoggedOutEverywhere{Common: common(2, now), User: "one", Cutoff: now}},
		{"known session", Session{ID: "known"}, &events.UserLoggedOutEverywhere{
			Common: common(3, now), User: "two", Cutoff: now, KnownSessions: []string{"known", "gone", "known"},
		}},
		{"device", Session{Device: "one"}, &events.DeviceLoggedOut{Common: common(4, now), Device: "one", Cutoff: now}},
		{"client", Session{Client: "one"}, &events.ClientLoggedOut{Common: common(5, now), Client: "one", Cutoff: now}},
		{"tenant", Session{Tenant: "elsewhere"}, &events.TenantLoggedOut{Common: elsewhere(common(6, now)), Cutoff: now}},
	} {
		tt.session.AuthTime = begun
		watched(tt.session)
		found := finding[watch]{limit: endAtOnce}
		r.watches.live.look(&found, tt.event)
		if found.visited != 1 || len(found.entries) != 1 {
			t.Errorf("%s: %d of %d watches were looked at and %d found, want 1", tt.name, found.visited, r.Watched(), len(found.entries))
		}
		before := ended
		sink.Event(Place{Position: uint64(i + 1)}, tt.event)
		if ended != before+1 {
			t.Errorf("%s: %d watches have ended, want 1", tt.name, ended-before)
		}
	}
	// And one that affects many is handed on after as many as are ended at once, and one more.
	found := finding[watch]{limit: endAtOnce}
	r.watches.live.look(&found, &events.ClientLoggedOut{Common: common(7, now), Client: "all", Cutoff: now})
	if found.visited != endAtOnce+1 || !found.full() {
		t.Errorf("%d watches of many were looked at, want %d", found.visited, endAtOnce+1)
	}
}

// Status counts the answers that callers were given. What the replica asks itself to end watches isn't among them, or a logout of many would look like
// an attack.
func TestEndingWatchesCountsNoChecks(t *testing.T) {
	r, sink, stop := watchingReplica(t)
	few, many := crowdOf(r, "few", endAtOnce), crowdOf(r, "many", endAtOnce+1)
	before := r.Status()
	sink.Event(Place{Position: 1}, tenantOut("few", time.Now()))
	sink.Event(Place{Position: 2}, tenantOut("many", time.Now()))
	r.watches.checkAll()
	stop()
	for _, ctx := range append(few, many...) {
		if !errors.Is(context.Cause(ctx), ErrSessionEnded) {
			t.Fatalf("the cause is %v", context.Cause(ctx))
		}
	}
	after := r.Status()
	if after.Revoked != before.Revoked || after.Active != before.Active || after.Undetermined != before.Undetermined {
		t.Errorf("%d active, %d revoked and %d undetermined were counted", after.Active-before.Active, after.Revoked-before.Revoked, after.Undetermined-before.Undetermined)
	}
	r.Check(Session{Tenant: "many", ID: "1", User: "1", AuthTime: epoch})
	if n := r.Status().Revoked; n != before.Revoked+1 {
		t.Errorf("%d were counted after a check, want %d", n, before.Revoked+1)
	}
}
