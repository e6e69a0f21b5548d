package publisher_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/publisher"
)

const (
	bodyA  = `{"scope":"session","session":"PLANTED a"}`
	bodyB  = `{"scope":"session","session":"PLANTED b"}`
	bodyC  = `{"scope":"user","user":"PLANTED c"}`
	logout = "/v1/users/PLANTED/logout"
)

func targets(all []events.Event) string {
	var out []string
	for _, e := range all {
		out = append(out, strings.TrimPrefix(e.Target(), "PLANTED "))
	}
	return strings.Join(out, " ")
}

func TestRepeatedCallIsOneEvent(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	first := d.revoke(t, bodyC, "Idempotency-Key", "k1")
	again := d.revoke(t, bodyC, "Idempotency-Key", "k1")
	if first.status != 200 || first.Duplicate || again.status != 200 || !again.Duplicate {
		t.Fatalf("got %s and %s", first.body, again.body)
	}
	// The second answer is the first event's, with its cutoff and not a later one.
	want := first.Stored
	want.Duplicate = true
	if diff := cmp.Diff(want, again.Stored); diff != "" {
		t.Error(diff)
	}
	if got := d.one(t); got.Meta().ID != first.ID {
		t.Errorf("the ledger holds %s", got.Meta().ID)
	}
	if d.published("UserLoggedOutEverywhere", "stored") != 1 || d.published("UserLoggedOutEverywhere", "duplicate") != 1 {
		t.Error("not counted as stored once and repeated once")
	}
	// What is logged can be found in the ledger.
	if n := strings.Count(d.log.String(), first.ID); n != 2 {
		t.Errorf("the event is logged %d times, want 2", n)
	}

	a := d.call(t, d.key, http.MethodPost, logout, `{"scope":"everywhere"}`, "Idempotency-Key", "k2")
	b := d.call(t, d.key, http.MethodPost, logout, `{"scope":"everywhere"}`, "Idempotency-Key", "k2")
	if a.ID == "" || a.ID != b.ID || !b.Duplicate {
		t.Errorf("a repeated logout gave %s and %s", a.body, b.body)
	}
}

func TestWithoutKeyEachCallIsAnEvent(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	if a, b := d.revoke(t, bodyA), d.revoke(t, bodyA); a.ID == b.ID || b.Duplicate || len(d.stored(t)) != 2 {
		t.Errorf("got %s and %s", a.body, b.body)
	}
}

func TestConcurrentRepeats(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	var mu sync.Mutex
	ids, fresh := map[string]int{}, 0
	var work sync.WaitGroup
	for range 20 {
		work.Go(func() {
			got, err := d.try(t.Context(), d.key, http.MethodPost, "/v1/revocations", bodyA, "Idempotency-Key", "k")
			if err != nil || got.status != 200 {
				t.Errorf("got %s, %v", got.body, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[got.ID]++
			if !got.Duplicate {
				fresh++
			}
		})
	}
	work.Wait()
	if len(ids) != 1 || fresh != 1 {
		t.Errorf("%d ids, %d fresh answers", len(ids), fresh)
	}
	d.one(t)
}

func TestKeyUsedForAnotherRequest(t *testing.T) {
	tests := []struct{ name, first, second, path string }{
		{name: "another target", first: bodyA, second: bodyB},
		{name: "another scope", first: bodyA, second: bodyC},
		{name: "another reason", first: bodyA, second: strings.Replace(bodyA, "}", `,"reason":"compromised"}`, 1)},
		{name: "another item", first: "[" + bodyA + "," + bodyB + "]", second: "[" + bodyA + "," + bodyC + "]"},
		// Each of these stored what the first call hadn't asked for, in spite of the 409, or didn't notice at all.
		{name: "more items", first: bodyA, second: "[" + bodyA + "," + bodyB + "]"},
		{name: "fewer items", first: "[" + bodyA + "," + bodyB + "]", second: bodyA},
		{name: "other items, and more", first: bodyA, second: "[" + bodyB + "," + bodyC + "]"},
		{name: "another order", first: "[" + bodyA + "," + bodyB + "]", second: "[" + bodyB + "," + bodyA + "]"},
		{name: "another call", first: bodyA, second: `{"scope":"everywhere"}`, path: logout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, natstest.Bus(t), nil)
			if got := d.revoke(t, tt.first, "Idempotency-Key", "k"); got.status != 200 {
				t.Fatalf("got %s", got.body)
			}
			before := targets(d.stored(t))
			path := "/v1/revocations"
			if tt.path != "" {
				path = tt.path
			}
			got := d.call(t, d.key, http.MethodPost, path, tt.second, "Idempotency-Key", "k")
			if got.status != 409 || got.Code != "idempotency_key_reused" || got.Retry {
				t.Errorf("got %d %s", got.status, got.body)
			}
			if after := targets(d.stored(t)); after != before {
				t.Errorf("the refused call has stored something: %s", after)
			}
			if d.refused("idempotency_key_reused") != 1 {
				t.Error("not counted")
			}
		})
	}
}

// Message ids count for the whole stream: another API key's must not be suppressed by the same Idempotency-Key (trap 38).
func TestKeysOfOthersAreTheirOwn(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	for _, key := range []string{d.key, d.admin, d.other} {
		got := d.call(t, key, http.MethodPost, "/v1/revocations", bodyA, "Idempotency-Key", "k")
		if got.status != 200 || got.Duplicate {
			t.Errorf("got %d %s", got.status, got.body)
		}
	}
	if n := len(d.stored(t)); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
}

func TestRepeatedArray(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	body := "[" + bodyA + "," + bodyB + "," + bodyC + "," + bodyA + "]"
	first := d.revoke(t, body, "Idempotency-Key", "k")
	again := d.revoke(t, body, "Idempotency-Key", "k")
	if first.status != 200 || again.status != 200 {
		t.Fatalf("got %s and %s", first.body, again.body)
	}
	want := first.receipts(t)
	for i := range want {
		want[i].Duplicate = true
	}
	if diff := cmp.Diff(want, again.receipts(t)); diff != "" {
		t.Error(diff)
	}
	if got := targets(d.stored(t)); got != "a b c a" {
		t.Errorf("the ledger holds %s", got)
	}
}

func TestConfigNamesWhatIsMissing(t *testing.T) {
	svc, err := publisher.New(publisher.Config{})
	if svc != nil || err == nil {
		t.Fatalf("got %v, %v", svc, err)
	}
	for _, name := range []string{"Stream", "EventAt", "Keys", "MessageKey", "MaxAge", "Leeway", "Metrics", "Log"} {
		if !strings.Contains(err.Error(), name+" is required") {
			t.Errorf("%s isn't named", name)
		}
	}
}
