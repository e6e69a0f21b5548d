package revocation

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
	"github.com/curfewhq/curfew/revocation/internal/table"
)

// testKey is the key of fingerprints of all sets in these tests, so that their digests can be compared.
var testKey = [16]byte{1, 2, 3}

var keepDefaults = lifetimes{maxAge: DefaultMaxAge, leeway: DefaultLeeway}

// setOf returns a set that has applied the events in that order, at positions 1, 2, 3 ….
func setOf(list ...events.Event) *set {
	m := newSet(keepDefaults, testKey)
	for i, e := range list {
		m.apply(e, uint64(i+1), time.Time{})
	}
	return m
}

func modelOf(list ...events.Event) *model {
	return &model{maxAge: DefaultMaxAge, leeway: DefaultLeeway, events: list}
}

func TestSetEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := genEvents.Draw(t, "events")
		m, set := modelOf(list...), setOf(list...)
		for _, s := range genSessions.Draw(t, "sessions") {
			by, revoked := set.lookup(&s)
			want, ids := m.scope(s)
			if revoked != (want != "") || by.scope != want {
				t.Fatalf("%+v: revoked %t by scope %q, want scope %q", s, revoked, by.scope, want)
			}
			if !revoked {
				continue
			}
			named := list[by.pos-1].Meta()
			if !slices.Contains(ids, named.ID) {
				t.Fatalf("%+v: event %s is named and doesn't end it, want one of %v", s, named.ID, ids)
			}
			if named.Reason != by.reason {
				t.Fatalf("%+v: ended by %+v, which isn't what the event says: %+v", s, by, named)
			}
		}
	})
}

// Trap 18: order, repetition and interleaving don't matter.
func TestSetIsAJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := genEvents.Draw(t, "events")
		again := rapid.SliceOfN(rapid.SampledFrom(append(list, tenantOut("x", epoch))), 0, 10).Draw(t, "repeated")
		again = slices.DeleteFunc(again, func(e events.Event) bool { return !slices.Contains(list, e) })
		shuffled := rapid.Permutation(append(slices.Clone(list), again...)).Draw(t, "order")
		a, b := setOf(list...), setOf(shuffled...)
		if a.digest() != b.digest() {
			t.Fatal("another order gives another digest")
		}
		for _, s := range genSessions.Draw(t, "sessions") {
			x, inA := a.lookup(&s)
			y, inB := b.lookup(&s)
			x.pos, y.pos = 0, 0
			if inA != inB || x != y {
				t.Fatalf("%+v: %+v in one order, %+v in another", s, x, y)
			}
		}
	})
}

// merged joins sets entry by entry, with what apply joins an event by.
func merged(sets ...*set) *set {
	m := newSet(keepDefaults, testKey)
	for _, other := range sets {
		for i := range table.Shards {
			other.sessions.Each(i, func(e table.Entry) { m.joinSession(e.FP, meta(e.Meta)) })
			other.scopes.Each(i, func(e table.Entry) { m.joinCutoffs(e.FP, decodeCutoffs(&e)) })
		}
	}
	return m
}

// Guarantees, section 3: merging two replicas, two regions or a snapshot with a tail is the same operation as applying events.
func TestMergeIsApplyAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := genEvents.Draw(t, "events")
		a, b := newSet(keepDefaults, testKey), newSet(keepDefaults, testKey)
		for i, e := range list {
			// Each goes to one of them, or to both.
			where := rapid.IntRange(0, 2).Draw(t, "where")
			if where != 1 {
				a.apply(e, uint64(i+1), time.Time{})
			}
			if where != 0 {
				b.apply(e, uint64(i+1), time.Time{})
			}
		}
		want := setOf(list...).digest()
		for name, m := range map[string]*set{
			"a and b": merged(a, b), "b and a": merged(b, a), "again": merged(merged(a, b), b, a), "grouped otherwise": merged(a, merged(b, a)),
		} {
			if m.digest() != want {
				t.Fatalf("merging %s isn't applying everything", name)
			}
		}
	})
}

// Trap 3: one more event never un-revokes.
func TestSetIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := genEvents.Draw(t, "events")
		sessions := genSessions.Draw(t, "sessions")
		set := newSet(keepDefaults, testKey)
		over := map[int]bool{}
		for i, e := range list {
			set.apply(e, uint64(i+1), time.Time{})
			for j, s := range sessions {
				_, revoked := set.lookup(&s)
				if over[j] && !revoked {
					t.Fatalf("%+v was revoked until %+v", s, e)
				}
				over[j] = revoked
			}
		}
	})
}

// What is held of a key is what the model finds when it asks every event, for the sessions that some event excepts and for all others;
// and no more than the latest cutoff and one for each of its exceptions.
func TestCutoffsOfAKeyAreTheModelsAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := genEvents.Draw(t, "events")
		m, set := modelOf(list...), setOf(list...)
		keys := map[key]bool{}
		for _, e := range list {
			if _, cut := events.Cutoff(e); cut {
				keys[key{e.Meta().Tenant, e.Kind(), e.Target()}] = true
			}
		}
		for k := range keys {
			cs := set.cutoffsOf(k)
			if cs == nil {
				t.Fatalf("no cutoff of %q is kept", k)
			}
			for _, sid := range []string{"nobody's", "a", "b", "ab", "user-a", "a/user", "user", "1a", "default", "ü"} {
				at, found := m.latestCutoff(k, sid)
				if c := cs.answer(set.fingerprint(fp.Session, k.tenant, sid)); c.exists() != found || found && c.at != at {
					t.Fatalf("cutoff of %q for session %q is %+v, want %d, %t", k, sid, c, at, found)
				}
			}
			want := m.lastKept(k)
			if past(cs.expires, set.clock.floor(want)) || !past(cs.expires, set.clock.floor(want+2*set.clock.ms)) {
				t.Fatalf("%q doesn't expire in the two ticks after %d, when the last of its events does", k, want)
			}
			if len(cs.spared) != len(cs.except) {
				t.Fatalf("%d cutoffs of %q with %d exceptions", len(cs.spared), k, len(cs.except))
			}
		}
		if _, scopes := set.size(); scopes != len(keys) {
			t.Fatalf("size says %d cutoffs, want %d", scopes, len(keys))
		}
	})
}

// cutoffsOf returns what is held of a key, or nil.
func (s *set) cutoffsOf(k key) (found *cutoffs) {
	want := s.fingerprint(kindOf(k.kind), k.tenant, k.id)
	s.scopes.Each(fp.Shard(want.First), func(e table.Entry) {
		if e.FP == want {
			cs := decodeCutoffs(&e)
			found = &cs
		}
	})
	return found
}

// Whoever may publish can log one user out but for others again and again, each time with other exceptions. What is kept, and so what the
// next event takes, doesn't grow with that.
func TestCutoffsOfOneUserDoNotGrow(t *testing.T) {
	const n = 20_000
	for name, at := range map[string]func(i int) time.Duration{
		"later and later":     func(i int) time.Duration { return time.Duration(i) * time.Millisecond },
		"earlier and earlier": func(i int) time.Duration { return -time.Duration(i) * time.Millisecond },
		"at one time":         func(int) time.Duration { return 0 },
		"to and fro":          func(i int) time.Duration { return time.Duration(i*7919%n) * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			set := newSet(keepDefaults, testKey)
			for i := range n {
				except := make([]string, events.MaxExcept)
				for j := range except {
					// Some are excepted by many events.
					except[j] = fmt.Sprint("s", j, "-", i/(1+j*j))
				}
				set.apply(everywhere(i, epoch.Add(at(i)), except...), uint64(i+1), time.Time{})
				if sessions, scopes := set.size(); sessions != 0 || scopes != 1 {
					t.Fatalf("%d sessions and %d users after %d events of one user", sessions, scopes, i+1)
				}
			}
			cs := set.cutoffsOf(key{events.DefaultTenant, events.KindUser, "ada"})
			if len(cs.except) > events.MaxExcept || len(cs.spared) > events.MaxExcept {
				t.Errorf("%d and %d places for %d exceptions", len(cs.except), len(cs.spared), events.MaxExcept)
			}
			if words := set.scopes.Words(); words > 10_000 {
				t.Errorf("%d words are held for one user", words)
			}
		})
	}
}

// Trap 12: an entry lives as long as any session that it ends, whatever dates the caller has told, but for an end that is ahead: that one
// is believed, and must be the session's absolute end.
func TestExpiryNeverForgetsWhatIsStillNeeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		begun, end := map[string]time.Time{}, map[string]time.Time{}
		for _, sid := range []string{"a", "b", "ab", "user-a", "a/user", "user", "1a", "default", "ü"} {
			begun[sid] = genTime.Draw(t, "begun")
			end[sid] = begun[sid].Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "ends after days")) * 24 * time.Hour)
		}
		list := genEvents.Draw(t, "events")
		for _, e := range list {
			if e, ok := e.(*events.SessionRevoked); ok {
				// It is revoked after it has begun.
				e.Time = latest(e.Time, begun[e.Session])
				if e.SessionExpiresAt.After(e.Time) {
					e.SessionExpiresAt = end[e.Session]
				}
			}
		}
		m, set := modelOf(list...), setOf(list...)
		now := epoch.Add(time.Duration(rapid.IntRange(0, 61*24*60).Draw(t, "minutes")) * time.Minute)
		n := set.expire(now)
		if again := set.expire(now); again != 0 {
			t.Fatalf("%d entries expired, and %d more at the same time", n, again)
		}
		for _, s := range genSessions.Draw(t, "sessions") {
			if s.ID == "" || s.AuthTime.IsZero() {
				continue
			}
			s.AuthTime = begun[s.ID]
			_, revoked := set.lookup(&s)
			if m.mustEnd(s, now.Add(time.Millisecond)) && !revoked {
				t.Fatalf("%+v is forgotten at %v", s, now)
			}
			scope, _ := m.scope(s)
			pastMaxAge := !now.Before(s.AuthTime.Add(DefaultMaxAge))
			if scope != "" && !revoked && !pastMaxAge && now.Before(end[s.ID]) {
				t.Fatalf("%+v was revoked by %s and passes at %v, before max age and its own end", s, scope, now)
			}
		}
	})
}
