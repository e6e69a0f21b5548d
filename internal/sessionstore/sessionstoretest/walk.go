package sessionstoretest

import (
	"fmt"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

func testWalk(t *testing.T, open Opener) {
	s := open()
	want := map[string]bool{}
	for i := range 30 {
		session := sample(fmt.Sprint("s/", i))
		session.User = fmt.Sprint("u-", i%7)
		switch i % 5 {
		case 3:
			session.Tenant = "globex"
		case 4:
			session.ExpiresAt = time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)
		default:
			want[session.ID] = true
		}
		create(t, s, session)
	}
	if _, _, err := s.End(t.Context(), sessionstore.Key{Tenant: "acme", ID: "s/0"}, sessionstore.End{At: start(), Reason: events.ReasonUserLogout}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	delete(want, "s/0")
	got := map[string]bool{}
	more, err := s.Walk(t.Context(), "acme", 1000, func(session sessionstore.Session) {
		if session.Tenant != "acme" || session.User == "" {
			t.Errorf("called with %+v", session)
		}
		got[session.ID] = true
	})
	if err != nil || more || len(got) != len(want) {
		t.Errorf("%d sessions, more %v, %v; want the %d that go on", len(got), more, err, len(want))
	}
	for id := range want {
		if !got[id] {
			t.Errorf("%s isn't among them", id)
		}
	}
	n := 0
	if more, err := s.Walk(t.Context(), "acme", 10, func(sessionstore.Session) { n++ }); err != nil || !more || n > 10 {
		t.Errorf("of ten: %d called, more %v, %v", n, more, err)
	}
}
