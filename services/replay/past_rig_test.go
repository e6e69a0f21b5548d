package replay_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/services/replay"
)

// failing is a *testing.T, or a *rapid.T.
type failing interface {
	Helper()
	Fatalf(string, ...any)
}

// told reads an answer into v.
func (d *desk) told(tb testing.TB, t failing, key, path string, query url.Values, v any) {
	t.Helper()
	resp, body := d.api.Call(tb, key, http.MethodGet, path+"?"+query.Encode(), "")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s?%s: %d %s", path, query.Encode(), resp.StatusCode, body)
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatalf("%v", err)
	}
}

func cut(key string) (kind, id string, ok bool) { return strings.Cut(key, ":") }

func union(a, b map[string][]uint64) map[string][]uint64 {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// answerOf is what a reader of a state concludes about a session: whether it is over, and by the event at which position.
func answerOf(facts []replay.Fact, s revocation.Session) (over bool, position uint64) {
	parts := map[events.Kind]string{events.KindSession: s.ID, events.KindUser: s.User, events.KindDevice: s.Device, events.KindClient: s.Client, events.KindTenant: s.Tenant}
	for _, kind := range events.Kinds() {
		for _, f := range facts { // of one target the latest cutoff comes first
			switch {
			case f.Scope != kind || f.Target != parts[kind]:
			case kind != events.KindSession && s.AuthTime.After(f.Cutoff):
			case slices.Contains(f.Except, s.ID), len(f.OnlyFor) > 0 && !slices.Contains(f.OnlyFor, s.ID):
			default:
				return true, f.Position
			}
		}
	}
	return false, 0
}

// exceptsFewer reports whether e spares a part of the sessions that other spares.
func exceptsFewer(e, other events.Event) bool {
	a, isUser := e.(*events.UserLoggedOutEverywhere)
	b, areBoth := other.(*events.UserLoggedOutEverywhere)
	return isUser && areBoth && len(a.Except) < len(b.Except) && !slices.ContainsFunc(a.Except, func(sid string) bool { return !slices.Contains(b.Except, sid) })
}

// sayTheSame reports whether the events at two positions have one scope, cutoff and reason.
func sayTheSame(all []placed, a, b uint64) bool {
	at := func(position uint64) events.Event {
		return all[slices.IndexFunc(all, func(e placed) bool { return e.position == position })].Event
	}
	cutA, _ := events.Cutoff(at(a))
	cutB, _ := events.Cutoff(at(b))
	return at(a).Kind() == at(b).Kind() && at(a).Meta().Reason == at(b).Meta().Reason && (cutA.Equal(cutB) || at(a).Kind() == events.KindUser)
}
