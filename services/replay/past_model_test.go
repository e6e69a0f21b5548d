package replay_test

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
	"github.com/curfewhq/curfew/services/replay"
)

// placed is an event with where it lies.
type placed struct {
	events.Event
	position uint64
}

// past draws events of one tenant about few of everything, stores them and tells a feed of them too, if there is one.
func (d *desk) past(t *testing.T, rt *rapid.T, tenant string, feed *revocationtest.Feed) (all []placed, begun time.Time) {
	begun = events.Floor(time.Now().Add(-time.Minute))
	id, some := rapid.SampledFrom([]string{"a", "b"}), rapid.SampledFrom([]string{"", "a", "b"})
	lists := rapid.SliceOfNDistinct(id, 0, 2, func(s string) string { return s })
	for range rapid.IntRange(1, 9).Draw(rt, "events") {
		c := common(t)
		c.Tenant, c.Reason = tenant, rapid.SampledFrom([]events.Reason{events.ReasonAdmin, events.ReasonCompromised, events.ReasonUserLogout}).Draw(rt, "reason")
		cutoff := begun.Add(time.Duration(rapid.IntRange(-2, 2).Draw(rt, "cutoff")) * time.Millisecond)
		if rapid.IntRange(0, 4).Draw(rt, "forgotten") == 0 {
			cutoff = cutoff.Add(-31 * 24 * time.Hour)
		}
		var e events.Event
		switch rapid.SampledFrom(append(events.Kinds(), events.KindUser, events.KindUser)).Draw(rt, "kind") {
		case events.KindSession:
			e = &events.SessionRevoked{Common: c, Session: id.Draw(rt, "session"), User: some.Draw(rt, "user")}
		case events.KindUser:
			u := &events.UserLoggedOutEverywhere{Common: c, User: id.Draw(rt, "user"), Cutoff: cutoff, Except: lists.Draw(rt, "except")}
			if len(u.Except) == 0 {
				u.KnownSessions = lists.Draw(rt, "known")
			}
			e = u
		case events.KindDevice:
			e = &events.DeviceLoggedOut{Common: c, Device: id.Draw(rt, "device"), User: some.Draw(rt, "user"), Cutoff: cutoff}
		case events.KindClient:
			e = &events.ClientLoggedOut{Common: c, Client: id.Draw(rt, "client"), Cutoff: cutoff}
		default:
			e = &events.TenantLoggedOut{Common: c, Cutoff: cutoff}
		}
		all = append(all, placed{e, d.store(t, e)})
		if feed != nil {
			feed.Publish(e)
		}
	}
	return all, begun
}

// naive is which events decide about anybody, by scope and target: for each session that there might be, the one that a replica names of those of the target.
func naive(all []placed, keeps func(events.Event) bool) map[string][]uint64 {
	best := map[string]map[string]placed{}
	consider := func(key, probe string, e placed, of revocation.Session) {
		if best[key] == nil {
			best[key] = map[string]placed{}
		}
		if old, there := best[key][probe]; !there || revocation.Outranks(e.Event, old.Event, of) || !revocation.Outranks(old.Event, e.Event, of) && exceptsFewer(e.Event, old.Event) {
			best[key][probe] = e
		}
	}
	for _, e := range all {
		if !keeps(e.Event) {
			continue
		}
		tenant := e.Meta().Tenant
		u, isUser := e.Event.(*events.UserLoggedOutEverywhere)
		if isUser {
			for _, sid := range u.KnownSessions {
				consider("session:"+sid, "", e, revocation.Session{Tenant: tenant, ID: sid})
			}
		}
		key := string(e.Kind()) + ":" + e.Target()
		if e.Kind() == events.KindSession {
			consider(key, "", e, revocation.Session{Tenant: tenant, ID: e.Target()})
			continue
		}
		for _, probe := range []string{"", "a", "b"} {
			if !isUser || !slices.Contains(u.Except, probe) {
				consider(key, probe, e, revocation.Session{Tenant: tenant})
			}
		}
	}
	out := map[string][]uint64{}
	for key, byProbe := range best {
		for _, e := range byProbe {
			if !slices.Contains(out[key], e.position) {
				out[key] = append(out[key], e.position)
			}
		}
		slices.Sort(out[key])
	}
	return out
}

func byKey(facts []replay.Fact) map[string][]uint64 {
	out := map[string][]uint64{}
	for _, f := range facts {
		key := string(f.Scope) + ":" + f.Target
		out[key] = append(out[key], f.Position)
		slices.Sort(out[key])
	}
	return out
}

// whole reads all pages of a state, each with a few.
func (d *desk) whole(t *testing.T, rt *rapid.T, key string, query url.Values) (all replay.State) {
	query = with(query, "limit", fmt.Sprint(rapid.IntRange(1, 3).Draw(rt, "limit")))
	for {
		var page replay.State
		d.told(t, rt, key, "/v1/state", query, &page)
		page.InForce = append(all.InForce, page.InForce...)
		if all = page; page.NextAfter == "" {
			return all
		}
		query = with(query, "after", page.NextAfter)
	}
}

// TestStateAsTheModelAndTheReplica: as of whichever position, the state has the events that decide about anybody and no others; and what it says of a session is what a replica answers that has
// heard as much. What differs between two moments is what came, surfaced, is forgotten or outranked.
func TestStateAsTheModelAndTheReplica(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		tenant := fmt.Sprintf("p-%d", run)
		key := d.newKey(t, tenant, "read")
		feed := revocationtest.New()
		all, begun := d.past(t, rt, tenant, feed)
		upTo := rapid.IntRange(1, len(all)).Draw(rt, "up to")
		at := fmt.Sprint(all[upTo-1].position)
		got := d.whole(t, rt, key, url.Values{"at": {at}})
		keeps := func(e events.Event) bool {
			cutoff, ok := events.Cutoff(e)
			u, named := e.(*events.UserLoggedOutEverywhere)
			return !ok || time.Since(cutoff) < 30*24*time.Hour || named && len(u.KnownSessions) > 0
		}
		want := naive(all[:upTo], keeps)
		if diff := cmp.Diff(want, byKey(got.InForce)); diff != "" {
			rt.Fatalf("as of %s (-model +state):\n%s", at, diff)
		}
		counted := map[events.Kind]uint64{"session": 0, "user": 0, "device": 0, "client": 0, "tenant": 0}
		for key := range want {
			kind, _, _ := cut(key)
			counted[events.Kind(kind)]++
		}
		if diff := cmp.Diff(counted, got.Counts); diff != "" || got.Estimated {
			rt.Fatalf("counts:\n%s", diff)
		}
		d.holdDiff(t, rt, key, all, upTo, keeps)

		if upTo < len(all) {
			feed.PutBack(uint64(upTo))
		}
		feed.Beat()
		replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed})
		if err != nil {
			rt.Fatal(err)
		}
		defer replica.Close()
		for _, s := range []revocation.Session{{ID: "a", User: "a", Device: "b", Client: "a"}, {ID: "b", User: "a", Client: "b"}, {ID: "c", User: "b", Device: "a"}} {
			s.Tenant, s.AuthTime = tenant, begun.Add(time.Duration(rapid.IntRange(-3, 3).Draw(rt, "auth time"))*time.Millisecond)
			said, named := answerOf(got.InForce, s)
			check := replica.Check(s)
			// Of two that say the same a replica may name either.
			if said != (check.State == revocation.Revoked) || said && !sayTheSame(all, all[check.EventPosition-1].position, named) {
				rt.Fatalf("%+v: the state says %v by %d, and the replica %s by %d: %+v", s, said, named, check.State, check.EventPosition, got.InForce)
			}
		}
	})
}

// holdDiff holds the difference between each earlier position and upTo against two states.
func (d *desk) holdDiff(t *testing.T, rt *rapid.T, key string, all []placed, upTo int, keeps func(events.Event) bool) {
	if upTo == 1 {
		return
	}
	from := rapid.IntRange(1, upTo-1).Draw(rt, "from")
	var got replay.Diff
	d.told(t, rt, key, "/v1/diff", url.Values{"from": {fmt.Sprint(all[from-1].position)}, "to": {fmt.Sprint(all[upTo-1].position)}}, &got)
	before, after := naive(all[:from], keeps), naive(all[:upTo], keeps)
	want := map[string]string{}
	for key := range maps.Keys(union(before, after)) {
		for _, p := range after[key] {
			if !slices.Contains(before[key], p) {
				want[fmt.Sprint(key, " ", p)] = replay.Came
			}
		}
		for _, p := range before[key] {
			if !slices.Contains(after[key], p) {
				want[fmt.Sprint(key, " ", p)] = replay.Outranked
			}
		}
	}
	told := map[string]string{}
	for _, c := range got.Changes {
		told[fmt.Sprint(c.Scope, ":", c.Target, " ", c.Position)] = c.Change
	}
	if diff := cmp.Diff(want, told); diff != "" {
		rt.Fatalf("between %d and %d (-model +difference):\n%s", all[from-1].position, all[upTo-1].position, diff)
	}
}
