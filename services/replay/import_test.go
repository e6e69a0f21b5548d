package replay_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
	"github.com/curfewhq/curfew/services/replay"
)

// post sends NDJSON. It returns the status, what the answer is as an import's, and its body.
func (d *desk) post(t testing.TB, key, path, body string) (status int, out replay.Imported, text string) {
	t.Helper()
	resp, b := d.api.Call(t, key, http.MethodPost, path, body, "Content-Type", "application/x-ndjson")
	_ = json.Unmarshal(b, &out) // an answer of another form has another test
	return resp.StatusCode, out, string(b)
}

// imports sends lines that have to be taken.
func (d *desk) imports(t testing.TB, query, body string) replay.Imported {
	t.Helper()
	status, out, text := d.post(t, d.operator, "/v1/import?"+query, body)
	if status != http.StatusOK {
		t.Fatalf("got %d %s", status, text)
	}
	return out
}

// export returns all of a ledger as lines.
func (d *desk) export(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	for _, r := range d.lines(t, d.operator, "tenant=*") {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func (d *desk) count(t testing.TB) uint64 {
	t.Helper()
	var stats replay.Stats
	if err := json.Unmarshal(d.get(t, d.operator, "/v1/revocations/stats?tenant=*").body, &stats); err != nil {
		t.Fatal(err)
	}
	return stats.Events
}

// digest is that of a replica's state that follows the ledger under the key of fingerprints of another one.
func digest(t *testing.T, b *bus.Bus, key string) [32]byte {
	t.Helper()
	stream, err := b.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Metadata[bus.HashKeyMetadata] = key
	if _, err := b.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	stop := natstest.Beat(t, b, 100*time.Millisecond)
	defer stop()
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: revocationnats.NewFeed(b.JetStream(), revocationnats.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = replica.Close() }()
	return replica.Digest()
}

const hashKey = "000102030405060708090a0b0c0d0e0f"

// many stores events of each kind, of several tenants, and some that were late on their way.
func many(t *testing.T, d *desk, n int) {
	t.Helper()
	now := time.Now()
	for i := range n {
		c := common(t)
		c.Time = events.Floor(now.Add(-time.Duration(i) * time.Minute)) // those after the fifth were stored late
		c.Tenant = []string{"acme", "globex"}[i%2]
		id := fmt.Sprint("PLANTED ", i)
		cutoff := events.Floor(now.Add(-time.Duration(i) * time.Second))
		d.store(t, []events.Event{
			&events.SessionRevoked{Common: c, Session: id, User: "PLANTED"},
			&events.UserLoggedOutEverywhere{Common: c, User: id, Cutoff: cutoff, Except: []string{"PLANTED x"}},
			&events.DeviceLoggedOut{Common: c, Device: id, Cutoff: cutoff},
			&events.ClientLoggedOut{Common: c, Client: id, Cutoff: cutoff},
			&events.TenantLoggedOut{Common: c, Cutoff: cutoff},
			&events.SessionRevoked{Common: c, Session: id, SessionExpiresAt: events.Floor(now.Add(time.Hour))},
		}[i%6])
	}
}

// TestImport brings a ledger's events into an empty one: the state is the same, and importing again changes nothing, whoever does it and however many at once.
func TestImport(t *testing.T) {
	from, to := newDesk(t, natstest.Bus(t)), newDesk(t, natstest.Bus(t))
	many(t, from, 60)
	body := from.export(t)
	if out := to.imports(t, "", body); out.New != 60 || out.Executed || to.count(t) != 0 {
		t.Errorf("a dry run: %+v, and the ledger holds %d", out, to.count(t))
	}
	if out := from.imports(t, "execute=true", body); out.New != 0 || out.Known != 60 {
		t.Errorf("into the ledger that it is from: %+v", out)
	}
	half := strings.Join(strings.SplitAfter(body, "\n")[:25], "")
	if out := to.imports(t, "execute=true&name=a", half); out.New != 25 || out.Position == 0 || len(out.Refused) > 0 {
		t.Errorf("the first half: %+v", out)
	}
	if out := to.imports(t, "execute=true&name=a", body); out.New != 35 || out.Known != 25 {
		t.Errorf("and the rest: %+v", out)
	}
	var at sync.WaitGroup
	for range 3 {
		at.Go(func() {
			if _, out, text := to.post(t, to.operator, "/v1/import?execute=true&name=b", body+body[:strings.Index(body, "\n")+1]); out.New != 0 || out.Known != 61 {
				t.Errorf("again: %s", text)
			}
		})
	}
	at.Wait()
	if got := to.count(t); got != 60 {
		t.Errorf("the ledger holds %d events", got)
	}
	if want, got := digest(t, from.bus, hashKey), digest(t, to.bus, hashKey); want != got {
		t.Errorf("the state is another one: %x and %x", want, got)
	}
	was, is := from.lines(t, from.operator, "tenant=*"), to.lines(t, to.operator, "tenant=*")
	for i := range was {
		before, after := decode(t, was[i]), decode(t, is[i])
		if before.Meta().ID != after.Meta().ID || !before.Meta().Time.Equal(after.Meta().Time) || before.Meta().Tenant != after.Meta().Tenant || after.Meta().Replay != "import-a" {
			t.Fatalf("event %d became another: %+v and %+v", i, before.Meta(), after.Meta())
		}
	}
}

func decode(t *testing.T, r replay.Record) events.Event {
	t.Helper()
	e, err := events.Decode(r.Event)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestImportAtOnce has several import the same when nothing is there yet, all of whom have looked before any stored.
func TestImportAtOnce(t *testing.T) {
	from, to := newDesk(t, natstest.Bus(t)), newDesk(t, natstest.Bus(t))
	many(t, from, 30)
	body := from.export(t)
	var total sync.Map
	checked := to.look(t, nil)
	var at sync.WaitGroup
	for i := range 4 {
		at.Go(func() {
			_, out, text := to.post(t, to.operator, "/v1/import?execute=true&checked="+checked, body)
			if out.New+out.Known != 30 {
				t.Error(text)
			}
			total.Store(i, out.New)
		})
	}
	at.Wait()
	sum := 0
	total.Range(func(_, n any) bool { sum += n.(int); return true }) //nolint:errcheck,forcetypeassert // it was put in above
	if sum != 30 || to.count(t) != 30 {
		t.Errorf("%d were stored by their word, and the ledger holds %d", sum, to.count(t))
	}
}

// look asks for ids, and returns what an import is told of that. found are the ids that the ledger has; it may be nil.
func (d *desk) look(t *testing.T, found *[]string, ids ...string) (checked string) {
	t.Helper()
	body := ""
	for _, id := range ids {
		body += fmt.Sprintf("%q\n", id)
	}
	status, _, text := d.post(t, d.operator, "/v1/import/known", body)
	if status != http.StatusOK {
		t.Fatalf("got %d %s", status, text)
	}
	for line := range strings.Lines(text) {
		var told struct{ ID, Checked string }
		if line == "\n" {
			continue
		}
		if err := json.Unmarshal([]byte(line), &told); err != nil || checked != "" {
			t.Fatalf("%q: %v", text, err)
		}
		if checked = told.Checked; checked == "" && found != nil {
			*found = append(*found, told.ID)
		}
	}
	return checked
}

func TestKnown(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	many(t, d, 6)
	is := decode(t, d.lines(t, d.operator, "tenant=*&before=2")[0]).Meta()
	first := is.Tenant + "/" + is.ID
	other := "acme/" + common(t).ID
	var found []string
	if checked := d.look(t, &found, other, "globex/"+is.ID, first, first); checked == "" || len(found) != 1 || found[0] != first {
		t.Errorf("found %v, %q", found, checked)
	}
	for body, code := range map[string]string{"x": "malformed_body", `"` + is.ID + `"`: "malformed_body", `"a b/` + is.ID + `"`: "malformed_body", `"x"`: "malformed_body", `"` + strings.ToUpper(first) + `"`: "malformed_body", strings.Repeat("x", 70_000): "body_too_large"} {
		if status, _, text := d.post(t, d.operator, "/v1/import/known", body); status < 400 || !strings.Contains(text, code) {
			t.Errorf("%.20s: %d %s", body, status, text)
		}
	}
	for _, key := range []string{d.key, d.other, ""} {
		if status, _, _ := d.post(t, key, "/v1/import/known", ""); status != http.StatusForbidden && key != "" || key == "" && status != http.StatusUnauthorized {
			t.Errorf("got %d", status)
		}
	}
}

// TestImportOfAnotherTenantsID: two tenants' events may have the same id, in a ledger and a file alike, and none is taken for the other.
func TestImportOfAnotherTenantsID(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	mine := common(t)
	theirs, third := mine, mine
	theirs.Tenant, third.Tenant = "globex", "initech"
	d.store(t, &events.SessionRevoked{Common: theirs, Session: "PLANTED"})
	body := lineOf(t, &events.SessionRevoked{Common: mine, Session: "PLANTED"}, time.Now()) + lineOf(t, &events.SessionRevoked{Common: third, Session: "PLANTED"}, time.Now())
	if out := d.imports(t, "execute=true", body); out.New != 2 || out.Known != 0 || d.count(t) != 3 {
		t.Errorf("%+v, and the ledger holds %d", out, d.count(t))
	}
	if out := d.imports(t, "execute=true", body); out.New != 0 || out.Known != 2 || d.count(t) != 3 {
		t.Errorf("again: %+v, and the ledger holds %d", out, d.count(t))
	}
}

// TestImportIsAnOperators: a tenant's own key imports nothing, not even its own events, whatever else it may do.
func TestImportIsAnOperators(t *testing.T) {
	from, to := newDesk(t, natstest.Bus(t)), newDesk(t, natstest.Bus(t))
	many(t, from, 2)
	own := to.newKey(t, "acme", access.ScopePublish, access.ScopeRead, access.ScopeAdmin, access.ScopeSessions, access.ScopeCheck)
	for _, key := range []string{to.key, to.other, own} {
		if status, _, text := to.post(t, key, "/v1/import?execute=true", from.export(t)); status != http.StatusForbidden || !strings.Contains(text, "operator") {
			t.Errorf("got %d %s", status, text)
		}
	}
	if n := to.count(t); n != 0 {
		t.Errorf("%d events are there", n)
	}
}
