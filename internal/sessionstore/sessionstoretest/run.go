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

// An Opener returns a store over what the test has, as one more process would open it. The test closes it.
type Opener func() sessionstore.Store

// Run runs the contract. each makes what stores of one test share, and is called once for each test.
func Run(t *testing.T, each func(t *testing.T) Opener) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, Opener)
	}{
		{"create", testCreate}, {"create at once", testCreateAtOnce}, {"list", testList}, {"tenants", testTenants}, {"walk", testWalk}, {"touch", testTouch},
		{"touch many", testTouchMany}, {"warn", testWarn}, {"end", testEnd}, {"pending end", testPendingEnd}, {"ended ones are kept", testKept}, {"due", testDue}, {"hasten", testHasten},
		{"touches against an idle end", testTouchesAgainstEnd}, {"touches at once", testTouchesAtOnce}, {"model", testModel},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, each(t)) })
	}
}

// start is in whole milliseconds, as times are kept, and lies in the past so that what is due is due.
func start() time.Time { return time.Now().UTC().Truncate(time.Millisecond).Add(-time.Hour) }

// sample returns a session with every member set.
func sample(id string) sessionstore.Session {
	at := start()
	return sessionstore.Session{
		Tenant: "acme", ID: id, User: "u-1", Device: "d-1", Client: "web", AuthTime: at, CreatedAt: at, SeenAt: at, ExpiresAt: at.Add(30 * 24 * time.Hour),
		Agent: sessionstore.Agent{Browser: "Firefox", OS: "Linux", Form: "desktop"}, Network: "203.0.113.0/24",
	}
}

func create(t *testing.T, s sessionstore.Store, session sessionstore.Session) sessionstore.Session {
	t.Helper()
	stored, created, err := s.Create(t.Context(), session, session.ExpiresAt)
	if err != nil || !created {
		t.Fatalf("create %q: created %v, %v", session.ID, created, err)
	}
	return stored
}

// sees waits until a process sees a session as it should be.
func sees(t *testing.T, s sessionstore.Store, want sessionstore.Session) {
	t.Helper()
	var diff string
	await(t, func() bool {
		got, err := s.Session(t.Context(), want.Key())
		if err != nil {
			diff = err.Error()
			return false
		}
		diff = cmp.Diff(want, got)
		return diff == ""
	}, &diff)
}

// await waits for something that another process brings about; what says how it is instead.
func await(t *testing.T, done func() bool, what *string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("it doesn't come: %s", *what)
		}
	}
}

func testCreate(t *testing.T, open Opener) {
	s, other := open(), open()
	want := sample("s-1")
	if _, err := s.Session(t.Context(), want.Key()); !errors.Is(err, sessionstore.ErrUnknown) {
		t.Errorf("before: %v, want ErrUnknown", err)
	}
	if diff := cmp.Diff(want, create(t, s, want)); diff != "" {
		t.Errorf("create (-want +got):\n%s", diff)
	}
	sees(t, s, want)
	sees(t, other, want)
	again := want
	again.User, again.AuthTime = "somebody else", want.AuthTime.Add(time.Minute)
	stored, created, err := other.Create(t.Context(), again, again.ExpiresAt)
	if err != nil || created {
		t.Errorf("create again: created %v, %v", created, err)
	}
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Errorf("create again (-want +got):\n%s", diff)
	}
	bare := sessionstore.Session{
		Tenant: "acme", ID: "ü/\n* >.\"", User: "u 2", AuthTime: want.AuthTime, CreatedAt: want.CreatedAt, SeenAt: want.SeenAt, ExpiresAt: want.ExpiresAt,
	}
	create(t, s, bare)
	sees(t, other, bare)
}

func testCreateAtOnce(t *testing.T, open Opener) {
	stores := []sessionstore.Store{open(), open()}
	const each = 8
	var created atomic.Int32
	var got [2 * each]sessionstore.Session
	var work sync.WaitGroup
	for i := range got {
		work.Go(func() {
			session := sample("s-1")
			session.User = fmt.Sprintf("u-%d", i)
			stored, mine, err := stores[i%2].Create(t.Context(), session, session.ExpiresAt)
			if err != nil {
				t.Error(err)
			}
			if mine {
				created.Add(1)
			}
			got[i] = stored
		})
	}
	work.Wait()
	if created.Load() != 1 {
		t.Errorf("%d have created it, want one", created.Load())
	}
	for _, s := range got {
		if s.User != got[0].User {
			t.Errorf("one was told of %q and another of %q", s.User, got[0].User)
		}
	}
}

func testList(t *testing.T, open Opener) {
	s, other := open(), open()
	var want []string
	for i := range 5 {
		session := sample(fmt.Sprintf("s-%d", i))
		session.CreatedAt = session.CreatedAt.Add(time.Duration(i) * time.Second)
		create(t, s, session)
		want = append([]string{session.ID}, want...)
	}
	create(t, s, func() sessionstore.Session { o := sample("other"); o.User = "u-2"; return o }())
	if _, ended, err := s.End(t.Context(), sessionstore.Key{Tenant: "acme", ID: "s-2"}, sessionstore.End{At: start(), Reason: events.ReasonAdmin, Position: 7}, time.Time{}); err != nil || !ended {
		t.Fatal(ended, err)
	}
	// What has ended comes last.
	want = []string{"s-4", "s-3", "s-1", "s-0", "s-2"}
	for _, test := range []struct {
		limit int
		want  []string
		more  bool
	}{{100, want, false}, {5, want, false}, {2, want[:2], true}} {
		var told string
		await(t, func() bool {
			list, more, err := other.Sessions(t.Context(), "acme", "u-1", test.limit)
			if err != nil {
				t.Fatal(err)
			}
			ids := make([]string, len(list))
			for i, session := range list {
				ids[i] = session.ID
			}
			told = fmt.Sprintf("limit %d: %q, more %v; want %q, %v", test.limit, ids, more, test.want, test.more)
			return slices.Equal(ids, test.want) && more == test.more
		}, &told)
	}
	if list, more, err := s.Sessions(t.Context(), "acme", "nobody", 10); err != nil || len(list) != 0 || more {
		t.Errorf("of nobody: %v, %v, %v", list, more, err)
	}
	// One that ended too long ago is gone, and one that expired too long ago is.
	old := sample("old")
	old.User, old.ExpiresAt = "u-3", time.Now().UTC().Truncate(time.Millisecond).Add(-sessionstore.KeepEnded-time.Minute)
	if _, _, err := s.Create(t.Context(), old, time.Time{}); err != nil {
		t.Fatal(err)
	}
	var told string
	await(t, func() bool {
		list, _, err := s.Sessions(t.Context(), "acme", "u-3", 10)
		_, gone := s.Session(t.Context(), old.Key())
		told = fmt.Sprintf("%v, %v, %v", list, err, gone)
		return err == nil && len(list) == 0 && errors.Is(gone, sessionstore.ErrUnknown)
	}, &told)
}

func testTenants(t *testing.T, open Opener) {
	s := open()
	a, b := sample("s-1"), sample("s-1")
	b.Tenant, b.Agent.Browser = "umbrella", "Chrome"
	create(t, s, a)
	create(t, s, b)
	list, _, err := s.Sessions(t.Context(), "umbrella", "u-1", 10)
	if err != nil || len(list) != 1 || list[0].Agent.Browser != "Chrome" {
		t.Errorf("%+v, %v", list, err)
	}
	touched, err := s.Touch(t.Context(), "umbrella", []sessionstore.Touch{{ID: "s-1", At: b.SeenAt.Add(time.Minute)}})
	if err != nil || touched[0].Outcome != sessionstore.Taken {
		t.Fatal(touched, err)
	}
	sees(t, s, a)
	// Parts that, written one after the other, are alike.
	c := sample("s")
	c.Tenant = "a"
	d := sample("cmes")
	d.Tenant = "a"
	create(t, s, c)
	create(t, s, d)
}

func testTouch(t *testing.T, open Opener) {
	s, other := open(), open()
	session := sample("s-1")
	create(t, s, session)
	sees(t, other, session)
	later := session.SeenAt.Add(time.Minute)
	for _, test := range []struct {
		name string
		at   time.Time
		want sessionstore.Touched
	}{
		{"later", later, sessionstore.Touched{Outcome: sessionstore.Taken, SeenAt: later}},
		{"again", later, sessionstore.Touched{Outcome: sessionstore.Taken, SeenAt: later}},
		{"earlier", later.Add(-time.Second), sessionstore.Touched{Outcome: sessionstore.Taken, SeenAt: later}},
	} {
		got, err := s.Touch(t.Context(), "acme", []sessionstore.Touch{{ID: "s-1", At: test.at}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]sessionstore.Touched{test.want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	session.SeenAt = later
	sees(t, other, session)
	got, err := other.Touch(t.Context(), "acme", []sessionstore.Touch{{ID: "nobody", At: later}})
	if err != nil || got[0] != (sessionstore.Touched{}) {
		t.Errorf("unknown: %+v, %v", got, err)
	}
	if got, err := s.Touch(t.Context(), "acme", nil); err != nil || len(got) != 0 {
		t.Errorf("none: %v, %v", got, err)
	}
}

func testTouchMany(t *testing.T, open Opener) {
	s, other := open(), open()
	var touches []sessionstore.Touch
	for i := range sessionstore.MaxTouches / 2 {
		session := sample(fmt.Sprintf("s-%d", i))
		if i%3 > 0 {
			create(t, s, session)
		}
		if i%3 > 1 {
			if _, _, err := s.End(t.Context(), session.Key(), sessionstore.End{At: start(), Reason: events.ReasonAdmin, Position: 1}, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		at := session.SeenAt.Add(time.Minute)
		// The later one first, so that the other changes nothing.
		touches = append(touches, sessionstore.Touch{ID: session.ID, At: at}, sessionstore.Touch{ID: session.ID, At: at.Add(-time.Second)})
	}
	last := sample("last")
	create(t, s, last)
	sees(t, other, last)
	got, err := other.Touch(t.Context(), "acme", touches)
	if err != nil {
		t.Fatal(err)
	}
	want := []sessionstore.Outcome{sessionstore.Unknown, sessionstore.Taken, sessionstore.Over}
	for i, touched := range got {
		if touched.Outcome != want[i/2%3] {
			t.Fatalf("touch %d: outcome %v, want %v", i, touched.Outcome, want[i/2%3])
		}
		if touched.Outcome == sessionstore.Taken && !touched.SeenAt.Equal(touches[i-i%2].At) {
			t.Fatalf("touch %d: seen at %v, want %v", i, touched.SeenAt, touches[i-i%2].At)
		}
	}
}
