package integration

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/services/gate"
	"github.com/curfewhq/curfew/services/publisher"
)

const (
	replicas    = 3
	sessions    = 1000
	users       = 200
	conns       = 500
	revocations = 150
	publishers  = 4
)

// seen is what happened to one tab.
type seen struct {
	tab     int
	changes int
	notices []tab.Frame
	code    tab.CloseCode
	err     error
}

// watch reads a tab to its end. It acknowledges its notice as a browser does.
func watch(ctx context.Context, conn *tabclient.Conn, i int) seen {
	out := seen{tab: i}
	for {
		f, err := conn.Next(ctx)
		var closed *tabclient.CloseError
		switch {
		case errors.As(err, &closed):
			out.code = closed.Code
			return out
		case err != nil:
			out.err = err
			return out
		}
		switch f.Type {
		case tab.TypeSessionsChanged:
			out.changes++
		case tab.TypeLogout:
			out.notices = append(out.notices, f)
			if err := conn.Ack(f.ID, tab.OutcomeSignedOut); err != nil {
				out.err = err
				return out
			}
		}
	}
}

// TestLogoutReachesExactlyWhomItShould runs three processes' worth of every role, revokes at random through all of them at once, and holds
// every session at every replica and every tab at every gateway to the model.
func TestLogoutReachesExactlyWhomItShould(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	now := time.Now().Truncate(time.Millisecond)
	all := world(rng, sessions, users, now)
	f := startFleet(t, replicas, "default", "acme")
	clients := map[string][]*apiclient.Client{}
	for _, tenant := range []string{"default", "acme"} {
		for i := range replicas {
			clients[tenant] = append(clients[tenant], f.client(t, i, tenant))
		}
	}

	stories := make(chan seen, conns)
	tabs := make([]openTab, conns)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for i := range conns {
		s := all[rng.IntN(len(all))]
		tabs[i] = openTab{session: s, gateway: i % replicas}
		conn := f.open(t, clients[s.tenant][i%replicas], i, s)
		if frame, err := conn.Next(ctx); err != nil || frame.Type != tab.TypeReady {
			t.Fatalf("%s: want ready, got %q: %v", label(i, s), frame.Type, err)
		}
		go func() { stories <- watch(ctx, conn, i) }()
	}

	history := revokeAtRandom(t, rng, all, clients, now)
	checkEverySession(t, all, clients, history)

	// Now everybody's session ends, so that every tab's story has an end, and whatever else a tab was wrongly told stands in it.
	for _, tenant := range []string{"default", "acme"} {
		q := publisher.Revocation{Scope: "tenant"}
		history = append(history, revoke(t, clients[tenant][0], tenant, q))
	}
	want := fates(tabs, history)
	for range conns {
		got := <-stories
		checkTab(t, tabs[got.tab].session, got, want[got.tab], history)
	}
	checkEverySession(t, all, clients, history)
}

// revokeAtRandom publishes from several goroutines at once, through all servers, and returns what was stored in the ledger's order.
func revokeAtRandom(t *testing.T, rng *rand.Rand, all []session, clients map[string][]*apiclient.Client, now time.Time) []stored {
	t.Helper()
	var mu sync.Mutex
	var history []stored
	var wg sync.WaitGroup
	for p := range publishers {
		own := rand.New(rand.NewPCG(rng.Uint64(), uint64(p)))
		wg.Go(func() {
			for i := range revocations / publishers {
				tenant, q := randomRevocation(own, all, now)
				r := revoke(t, clients[tenant][i%replicas], tenant, q)
				mu.Lock()
				history = append(history, r)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(history, func(a, b stored) int { return cmp.Compare(a.receipt.Position, b.receipt.Position) })
	return history
}

func revoke(t *testing.T, c *apiclient.Client, tenant string, q publisher.Revocation) stored {
	t.Helper()
	r := stored{tenant: tenant, request: q}
	if err := c.Call(t.Context(), http.MethodPost, "/v1/revocations?wait=stored", nil, q, &r.receipt); err != nil {
		t.Errorf("revoke %s: %v", q.Scope, err)
	}
	return r
}

// checkEverySession asks every replica for every session, at the position of the last revocation.
func checkEverySession(t *testing.T, all []session, clients map[string][]*apiclient.Client, history []stored) {
	t.Helper()
	last := history[len(history)-1].receipt.Position
	for tenant, cs := range clients {
		var batch []gate.Question
		var asked []session
		for _, s := range all {
			if s.tenant == tenant {
				batch = append(batch, gate.Question{Session: s.id, User: s.user, Device: s.device, Client: s.client, AuthTime: &s.authTime, Position: last})
				asked = append(asked, s)
			}
		}
		for i, c := range cs {
			var answer struct {
				Decisions []gate.Verdict `json:"decisions"`
			}
			if err := c.Call(t.Context(), http.MethodPost, "/v1/check", nil, batch, &answer); err != nil {
				t.Fatalf("check at replica %d: %v", i, err)
			}
			for j, v := range answer.Decisions {
				want := "active"
				if over(asked[j], history) {
					want = "revoked"
				}
				if v.State != want {
					t.Errorf("replica %d says %s (%s) of session %s of %s in %s, the model says %s", i, v.State, v.Cause, asked[j].id, asked[j].user, tenant, want)
				}
			}
		}
	}
}

// checkTab holds one tab's story to the model: the changes that it was told of, then one notice of the event that ended its session, then 4501.
func checkTab(t *testing.T, s session, got seen, want fate, history []stored) {
	t.Helper()
	name := s.tenant + "/" + s.user + "/" + s.id
	if got.err != nil {
		t.Errorf("tab of %s broke: %v", name, got.err)
		return
	}
	if got.code != tab.CloseSignedOut {
		t.Errorf("tab of %s was closed with %d, want %d", name, got.code, tab.CloseSignedOut)
	}
	// An event behind one that ends a great many tabs may be told first. It is told only to whom it ends too.
	if len(got.notices) == 1 && got.notices[0].ID != want.by && slices.ContainsFunc(history, func(h stored) bool {
		return h.receipt.ID == got.notices[0].ID && over(s, []stored{h})
	}) {
		return
	}
	if len(got.notices) != 1 || got.notices[0].ID != want.by {
		t.Errorf("tab of %s got notices %v, want exactly that of event %s", name, got.notices, want.by)
		return
	}
	// Changes that wait for a tab together are told as one; none is made up.
	if got.changes > want.changes || (got.changes == 0 && want.owed) {
		t.Errorf("tab of %s was told of changes %d times, want at most %d, and one if it is owed any (%t)", name, got.changes, want.changes, want.owed)
	}
	if m := got.notices[0].Message; m != "" && m != "you were signed out" {
		t.Errorf("tab of %s was shown %q", name, m)
	}
}
