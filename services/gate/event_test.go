package gate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/gate"
)

// known is what an answer tells of the event behind it.
type known struct {
	State, Event, At string
	Position         uint64
}

func toldOf(r reply) known { return known{r.State, r.Event, r.At, r.EventPos} }

// An event that is read by position is believed only if it truly ends the session as the replica says: where a stream was put back, another
// one may lie there, and nothing of it is told. The state is told all the same.
func TestCheckTellsNothingOfAnotherEvent(t *testing.T) {
	const midnight = "2000-01-01T00:00:00Z"
	user := func(change func(*events.UserLoggedOutEverywhere)) func(time.Time) events.Event {
		return func(now time.Time) events.Event {
			e := &events.UserLoggedOutEverywhere{Common: common(events.DefaultTenant), User: "ada", Cutoff: now}
			change(e)
			return e
		}
	}
	byName := func(sid string, change func(*events.Common)) func(time.Time) events.Event {
		return func(time.Time) events.Event {
			e := &events.SessionRevoked{Common: common(events.DefaultTenant), Session: sid}
			change(e.Meta())
			return e
		}
	}
	same := func(*events.Common) {}
	asIs := func(*events.UserLoggedOutEverywhere) {}
	tests := []struct {
		name string
		// applied is what ends the session, and stored what lies at its position by now; nil is nothing.
		applied, stored func(time.Time) events.Event
		told            bool
	}{
		{"the session's own", byName("laptop", same), byName("laptop", same), true},
		{"the user's", user(asIs), user(asIs), true},
		{"the user's, which names the session", user(asIs), user(func(e *events.UserLoggedOutEverywhere) {
			e.User, e.KnownSessions = "grace", []string{"laptop"}
		}), true},
		{"nothing", byName("laptop", same), func(time.Time) events.Event { return nil }, false},
		{"another session's", byName("laptop", same), byName("phone", same), false},
		{"another tenant's", byName("laptop", same), byName("laptop", func(c *events.Common) { c.Tenant = "acme" }), false},
		{"one for another reason", byName("laptop", same), byName("laptop", func(c *events.Common) { c.Reason = events.ReasonCompromised }), false},
		{"one of another scope", byName("laptop", same), user(asIs), false},
		{"another user's", user(asIs), user(func(e *events.UserLoggedOutEverywhere) { e.User = "grace" }), false},
		{"one that spares the session", user(asIs), user(func(e *events.UserLoggedOutEverywhere) { e.Except = []string{"laptop"} }), false},
		{"one from before the session", user(asIs), user(func(e *events.UserLoggedOutEverywhere) { e.Cutoff = e.Cutoff.Add(-2 * time.Hour) }), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, g *rig) {
				g.publish(t, tt.applied(time.Now()))
				g.ledger.put(2, tt.stored(time.Now()))
				want := known{State: "revoked", Position: 2}
				if tt.told {
					want.Event, want.At = eventID, midnight
				}
				for _, w := range []reply{read(t, g.get(t, whole)), read(t, g.post(t, bodyOf(whole))), read(t, g.post(t, "["+bodyOf(whole)+"]")).Decisions[0]} {
					if diff := cmp.Diff(want, toldOf(w)); diff != "" {
						t.Errorf("told (-want +got):\n%s", diff)
					}
				}
			})
		})
	}
}

// A remembered event that isn't the one any more is read anew by the next call.
func TestCheckReadsAnewAfterAPutBack(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		g.publish(t, sessionRevoked("phone"))
		phone := "session=phone&user=ada&auth_time=1999-12-31T23:00:00Z"
		if got := read(t, g.get(t, phone)); got.Event != eventID {
			t.Fatalf("told %+v, want its event", got)
		}
		// The stream is put back to before that event, and another takes its position.
		g.feed.AutoBeat(0)
		g.feed.PutBack(1)
		pass(time.Second)
		g.publish(t, sessionRevoked("laptop"))
		if got := read(t, g.get(t, whole)); got.State != "revoked" || got.EventPos != 2 || got.Event != "" {
			t.Errorf("told %+v, want nothing of the phone's event", got)
		}
		if got := read(t, g.get(t, whole)); got.Event != eventID {
			t.Errorf("told %+v, want its event", got)
		}
	})
}

// Reading has 250 ms for a whole call and not for each event; and once that time has run out, the answers of the next second don't wait for it.
func TestCheckDoesNotWaitForTheLedger(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		var questions []string
		for i := range 20 {
			g.publish(t, sessionRevoked(fmt.Sprintf("s%d", i)))
			questions = append(questions, fmt.Sprintf(`{"session":"s%d"}`, i))
		}
		g.ledger.hang(true)
		ask := func() (reply, time.Duration) {
			began := time.Now()
			got := read(t, g.post(t, "["+strings.Join(questions, ",")+"]"))
			return got, time.Since(began)
		}
		bare := func(got reply, events int) {
			t.Helper()
			for i, d := range got.Decisions {
				if d.State != "revoked" || d.EventPos != uint64(i+2) || (d.Event != "") != (events > 0) || (d.At != "") != (events > 0) {
					t.Fatalf("answer %d: %+v", i, d)
				}
			}
		}
		got, took := ask()
		if bare(got, 0); took != 250*time.Millisecond {
			t.Errorf("the first call took %v, want 250 ms", took)
		}
		g.ledger.take()
		got, took = ask()
		if bare(got, 0); took != 0 || len(g.ledger.take()) > 0 {
			t.Errorf("the next call took %v, want no time, and to read nothing", took)
		}
		g.ledger.hang(false)
		pass(time.Second)
		if got, _ = ask(); len(got.Decisions) == len(questions) {
			bare(got, len(questions))
		}
		if reads := g.ledger.take(); len(reads) != len(questions) {
			t.Errorf("read %v, want each of %d positions once", reads, len(questions))
		}
	})
}

// A batch reads each position once, a few at a time, and the next one reads nothing that was read lately.
func TestCheckReadsEachPositionOnce(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		const sessions = 100
		want := []uint64{}
		for i := range sessions {
			want = append(want, g.publish(t, sessionRevoked(fmt.Sprintf("s%d", i))))
		}
		var questions []string
		for i := range gate.MaxBatch {
			questions = append(questions, fmt.Sprintf(`{"session":"s%d"}`, i%sessions))
		}
		for round := range 2 {
			got := read(t, g.post(t, "["+strings.Join(questions, ",")+"]"))
			if i := slices.IndexFunc(got.Decisions, func(d reply) bool { return d.Event != eventID }); i >= 0 {
				t.Errorf("round %d, answer %d: %+v", round, i, got.Decisions[i])
			}
			if diff := cmp.Diff(want, g.ledger.take()); diff != "" {
				t.Errorf("round %d read (-want +got):\n%s", round, diff)
			}
			want = nil
		}
		if g.ledger.most > 8 {
			t.Errorf("%d positions were read at once", g.ledger.most)
		}
	})
}

// Nothing is read for sessions that no event ends, and a gate that can't read answers as well.
func TestCheckWithoutLedger(t *testing.T) {
	bubble(t, func(c *gate.Config) { c.EventAt = nil }, func(t *testing.T, g *rig) {
		g.publish(t, sessionRevoked("laptop"))
		if diff := cmp.Diff(known{State: "revoked", Position: 2}, toldOf(read(t, g.get(t, whole)))); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
	bubble(t, nil, func(t *testing.T, g *rig) {
		g.get(t, whole)
		got := read(t, g.get(t, "session=laptop&user=ada&auth_time=1999-12-01T00:00:00Z"))
		if diff := cmp.Diff(known{State: "revoked", At: "1999-12-31T00:00:00Z"}, toldOf(got)); diff != "" {
			t.Errorf("told of max age (-want +got):\n%s", diff)
		}
		if reads := g.ledger.take(); len(reads) > 0 {
			t.Errorf("read %v for nothing", reads)
		}
	})
}
