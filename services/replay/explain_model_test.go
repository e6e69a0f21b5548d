package replay_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
)

// rankOf is how early a check looks at what an event says of a session, from 1: by name, by user, by device, by client, by tenant. 0 is an event that doesn't end it. It is written down here after the contract's words, and
// calls nothing of what it is compared with.
func rankOf(e events.Event, s revocation.Session) int {
	before := func(cutoff time.Time) bool { return !s.AuthTime.IsZero() && !s.AuthTime.After(cutoff) }
	switch e := e.(type) {
	case *events.SessionRevoked:
		if e.Session == s.ID {
			return 1
		}
	case *events.UserLoggedOutEverywhere:
		switch {
		case s.ID != "" && slices.Contains(e.KnownSessions, s.ID):
			return 1
		case e.User == s.User && before(e.Cutoff) && !slices.Contains(e.Except, s.ID):
			return 2
		}
	case *events.DeviceLoggedOut:
		if e.Device == s.Device && before(e.Cutoff) {
			return 3
		}
	case *events.ClientLoggedOut:
		if e.Client == s.Client && before(e.Cutoff) {
			return 4
		}
	case *events.TenantLoggedOut:
		if before(e.Cutoff) {
			return 5
		}
	}
	return 0
}

// TestExplainAsTheModel: as of whichever event, by its position or its time, the explanation is what the contract says of the events up to there, read one by one: the first kind that ends the session names the reason, then its age.
func TestExplainAsTheModel(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		tenant := fmt.Sprintf("m-%d", run)
		key := d.newKey(t, tenant, "read")
		all, begun := d.past(t, rt, tenant, nil)
		stored := map[uint64]time.Time{}
		for _, r := range d.lines(t, key, "") {
			stored[r.Position] = r.Stored
		}
		some := rapid.SampledFrom([]string{"", "a", "b"})
		s := revocation.Session{Tenant: tenant, ID: some.Draw(rt, "session"), User: some.Draw(rt, "user"), Device: some.Draw(rt, "device"), Client: some.Draw(rt, "client")}
		switch rapid.IntRange(0, 5).Draw(rt, "begun") {
		case 0:
		case 1:
			s.AuthTime = begun.Add(-40 * 24 * time.Hour)
		default:
			s.AuthTime = begun.Add(time.Duration(rapid.IntRange(-3, 3).Draw(rt, "auth time")) * time.Millisecond)
		}
		upTo := rapid.IntRange(1, len(all)).Draw(rt, "up to")
		last := all[upTo-1].position
		at := fmt.Sprint(last)
		if rapid.Bool().Draw(rt, "by time") {
			at = stored[last].Format(time.RFC3339Nano)
		}
		query := url.Values{"at": {at}}
		for name, v := range map[string]string{"session": s.ID, "user": s.User, "device": s.Device, "client": s.Client} {
			if v != "" {
				query.Set(name, v)
			}
		}
		if len(query) == 1 {
			return
		}
		if !s.AuthTime.IsZero() {
			query.Set("auth_time", s.AuthTime.Format(time.RFC3339Nano))
		}

		best, endings, by := 0, 0, map[int][]placed{}
		for _, e := range all[:upTo] {
			if cutoff, ok := events.Cutoff(e.Event); ok && stored[last].Sub(cutoff) > 30*24*time.Hour {
				if u, isUser := e.Event.(*events.UserLoggedOutEverywhere); !isUser || len(u.KnownSessions) == 0 {
					continue // forgotten
				}
			}
			if rank := rankOf(e.Event, s); rank > 0 {
				by[rank], endings = append(by[rank], e), endings+1
				if best == 0 || rank < best {
					best = rank
				}
			}
		}
		got := d.explain(t, key, query)
		state, aged := "active", !s.AuthTime.IsZero() && stored[last].Sub(s.AuthTime) >= 30*24*time.Hour
		switch {
		case best > 0 || aged:
			state = "revoked"
		case s.ID == "" || s.User == "" || s.AuthTime.IsZero():
			state = "undetermined"
		}
		if got.State != state || got.Endings != endings || got.Position != last || (got.Event != nil) != (best > 0) || best == 0 && aged && got.Scope != revocation.ScopeMaxAge {
			rt.Fatalf("%+v as of %s: the model says %s by %d events, rank %d, and the explanation %+v", s, at, state, endings, best, got)
		}
		if best > 0 && !slices.ContainsFunc(by[best], func(e placed) bool { return e.position == got.Event.Position && e.Meta().Reason == got.Reason }) {
			rt.Fatalf("%+v as of %s: the model names one of %+v, and the explanation %+v", s, at, by[best], got.Event)
		}
	})
}
