package fanout

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// What is remembered says the same as a list of all that has happened, as far back as it goes; and beyond that it says nothing.
func TestRecentModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 6).Draw(t, "most")
		r := newRecent(most)
		type happened struct {
			position         uint64
			id, tenant, user string
		}
		var all []happened
		position, ids := uint64(0), 0
		users, tenants := rapid.SampledFrom([]string{"ann", "bob", "cyd", ""}), rapid.SampledFrom([]string{"acme", "other"})
		t.Repeat(map[string]func(*rapid.T){
			"event": func(t *rapid.T) {
				if rapid.IntRange(0, 30).Draw(t, "the stream is made anew") == 0 {
					position = 0
				}
				position += rapid.Uint64Range(1, 3).Draw(t, "beats in between, and one")
				ids++
				h := happened{position, fmt.Sprintf("e%d", ids), tenants.Draw(t, "tenant"), users.Draw(t, "user")}
				var e events.Event = &events.SessionRevoked{Common: events.Common{ID: h.id, Tenant: h.tenant}, Session: "s", User: h.user}
				if h.user == "" {
					e = &events.ClientLoggedOut{Common: events.Common{ID: h.id, Tenant: h.tenant}, Client: "c"}
				}
				if len(all) > 0 && h.position <= all[len(all)-1].position {
					all = nil
				}
				all = append(all, h)
				r.add(revocation.Applied{Event: e, Position: h.position})
			},
			"ask": func(t *rapid.T) {
				s := revocation.Session{Tenant: tenants.Draw(t, "tenant"), User: rapid.SampledFrom([]string{"ann", "bob", "cyd", "dan"}).Draw(t, "user")}
				known := cursor{position: rapid.Uint64Range(0, position+2).Draw(t, "known")}
				if rapid.Bool().Draw(t, "by id") {
					known = cursor{after: fmt.Sprintf("e%d", rapid.IntRange(1, ids+1).Draw(t, "id"))}
				}
				got := r.touched(s, known)
				kept := all[max(0, len(all)-most):]
				since, from := known.position, uint64(0)
				if len(all) > len(kept) {
					from = all[len(all)-len(kept)-1].position
				} else if len(all) > 0 {
					from = all[0].position - 1
				}
				for _, h := range kept {
					if h.id == known.after {
						since = h.position
					}
				}
				want := false
				for _, h := range kept {
					if since > 0 && since >= from && h.position > since && h.tenant == s.Tenant && (h.user == s.User || h.user == "") {
						want = true
					}
				}
				if got != want {
					t.Fatalf("%+v after %+v: got %v, want %v\nkept %+v", s, known, got, want, kept)
				}
				if len(r.ring) > most || len(r.latest) > most || len(r.at) > most {
					t.Fatalf("%d, %d and %d are remembered of %d", len(r.ring), len(r.latest), len(r.at), most)
				}
			},
		})
	})
}

func BenchmarkRecentTouched(b *testing.B) {
	r := newRecent(maxRecent)
	for i := range 2 * maxRecent {
		r.add(revocation.Applied{Position: uint64(i + 1), Event: &events.SessionRevoked{Common: events.Common{ID: fmt.Sprint(i), Tenant: tenant}, User: fmt.Sprint(i)}})
	}
	s := revocation.Session{Tenant: tenant, User: "7"}
	b.ReportAllocs()
	for b.Loop() {
		r.touched(s, cursor{position: maxRecent + 100})
	}
}
