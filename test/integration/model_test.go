package integration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/curfewhq/curfew/services/publisher"
)

// session is one login of the model's world.
type session struct {
	tenant, id, user, device, client string
	authTime                         time.Time
}

// stored is a revocation that the API has acknowledged. The model reads the request, not the event that was made of it.
type stored struct {
	tenant  string
	request publisher.Revocation
	receipt publisher.Stored
}

// ends says whether the revocation ends the session, from the contract's words alone.
func (r stored) ends(s session) bool {
	if r.tenant != s.tenant {
		return false
	}
	q := r.request
	if slices.Contains(q.KnownSessions, s.id) {
		return true
	}
	begun := !s.authTime.After(r.receipt.Cutoff)
	switch q.Scope {
	case "session":
		return q.Session == s.id
	case "user":
		return q.User == s.user && begun && !slices.Contains(q.Except, s.id)
	case "device":
		return q.Device == s.device && begun
	case "client":
		return q.Client == s.client && begun
	case "tenant":
		return begun
	}
	return false
}

// names says whether the revocation names the session's user, so that the user's other tabs are told of a change.
func (r stored) names(s session) bool {
	return r.tenant == s.tenant && r.request.User != "" && r.request.User == s.user
}

// over says whether a history ends the session.
func over(s session, history []stored) bool {
	return slices.ContainsFunc(history, func(r stored) bool { return r.ends(s) })
}

// openTab is a tab of a session at a gateway.
type openTab struct {
	session session
	gateway int
}

// fate is what the model says of a tab.
type fate struct {
	// by is the event that ended its session first, and whole whether that was a whole tenant's logout; empty while it lives.
	by    string
	whole bool
	// changes is how often it was told at most before that that another session of its user ended: by each revocation that names its user, and by
	// each that ends a session of its user with a tab at the same gateway.
	changes int
	// owed is whether it was certainly told of one of them. What a whole tenant's logout changes is told behind the tabs that it ends, and an event
	// behind it may have ended this one by then, of which it is told instead.
	owed bool
}

// fates follows the tabs through a history in the order of the ledger.
func fates(tabs []openTab, history []stored) []fate {
	type home struct {
		gateway      int
		tenant, user string
	}
	out := make([]fate, len(tabs))
	for _, r := range history {
		// Where an event ends what a whole tenant's logout has ended before, either may come to tell it, and the others of the user with it.
		touched, perhaps := map[home]bool{}, map[home]bool{}
		for i, t := range tabs {
			at := home{t.gateway, t.session.tenant, t.session.user}
			switch ends := r.ends(t.session); {
			case ends && out[i].by == "":
				out[i].by, out[i].whole = r.receipt.ID, r.request.Scope == "tenant"
				touched[at] = true
			case ends && out[i].whole:
				perhaps[at] = true
			}
		}
		for i, t := range tabs {
			at := home{t.gateway, t.session.tenant, t.session.user}
			told := r.names(t.session) || touched[at]
			if out[i].by == "" && (told || perhaps[at]) {
				out[i].changes++
				out[i].owed = out[i].owed || told && r.request.Scope != "tenant"
			}
		}
	}
	return out
}

// world makes sessions of users in two tenants, with ids that occur in both.
func world(rng *rand.Rand, sessions, users int, now time.Time) []session {
	out := make([]session, sessions)
	for i := range out {
		u := rng.IntN(users)
		out[i] = session{
			tenant: []string{"default", "acme"}[u%2], id: fmt.Sprintf("sid-%d", i), user: fmt.Sprintf("user-%d", u/2),
			device: fmt.Sprintf("device-%d", rng.IntN(users)), client: fmt.Sprintf("client-%d", rng.IntN(12)),
			authTime: now.Add(-time.Duration(rng.IntN(3_600_000)) * time.Millisecond),
		}
	}
	return out
}

// randomRevocation makes a random revocation around a random session.
func randomRevocation(rng *rand.Rand, all []session, now time.Time) (tenant string, q publisher.Revocation) {
	s := all[rng.IntN(len(all))]
	cutoff := now.Add(-time.Duration(rng.IntN(3_600_000)) * time.Millisecond)
	q.Cutoff = &cutoff
	q.ReasonAdmin, q.ReasonUser = "for operators only", "you were signed out"
	switch n := rng.IntN(100); {
	case n < 45:
		return s.tenant, publisher.Revocation{Scope: "session", Session: s.id, User: pick(rng, s.user, ""), AuthTime: &s.authTime, ReasonUser: q.ReasonUser}
	case n < 75:
		q.Scope, q.User = "user", s.user
		for _, other := range all {
			if other.tenant == s.tenant && other.user == s.user && rng.IntN(3) == 0 && len(q.Except) < 16 {
				q.Except = append(q.Except, other.id)
			}
		}
		if rng.IntN(3) == 0 && !slices.Contains(q.Except, s.id) {
			q.KnownSessions = []string{s.id}
		}
	case n < 90:
		q.Scope, q.Device, q.User = "device", s.device, pick(rng, s.user, "")
	case n < 97:
		q.Scope, q.Client = "client", s.client
		// An application's cutoff ends many at once; an early one leaves something for the others to end.
		early := now.Add(-50 * time.Minute)
		q.Cutoff = &early
	default:
		q.Scope = "tenant"
		early := now.Add(-58 * time.Minute)
		q.Cutoff = &early
	}
	return s.tenant, q
}

func pick(rng *rand.Rand, a, b string) string {
	if rng.IntN(2) == 0 {
		return a
	}
	return b
}
