package fanout

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

func bucket(t *testing.T, b *bus.Bus) jetstream.KeyValue {
	t.Helper()
	bucket := bus.TicketsBucket()
	if bucket.TTL < 2*TicketLifetime {
		t.Errorf("a used ticket is forgotten after %v, and one can be used for %v", bucket.TTL, TicketLifetime)
	}
	kv, err := b.KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func TestTicketOpen(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	ours := newTickets(bytes.Repeat([]byte{1}, 32), nil, nil)
	theirs := newTickets(bytes.Repeat([]byte{2}, 32), nil, nil)
	issue := func(ts tickets, origin string, at time.Time) string {
		text, _ := ts.issue(ticket{Tenant: tenant, User: "ann", Session: "s1", AuthTime: 1, Origin: origin}, at)
		return text
	}
	good := issue(ours, "", now)
	head, tail, _ := strings.Cut(good, ".")
	body, _ := base64.RawURLEncoding.DecodeString(head)
	other := base64.RawURLEncoding.EncodeToString(bytes.Replace(body, []byte("ann"), []byte("bob"), 1))
	for _, c := range []struct {
		name, text string
		now        time.Time
		want       error
	}{
		{"good", good, now, nil},
		{"at its end", good, now.Add(TicketLifetime), nil},
		{"after its end", good, now.Add(TicketLifetime + time.Millisecond), errTicketExpired},
		{"clock behind the issuer's", good, now.Add(-ticketSkew), nil},
		{"clock far behind the issuer's", good, now.Add(-ticketSkew - time.Millisecond), errTicketEarly},
		{"bound to this origin", issue(ours, site, now), now, nil},
		{"bound to another origin", issue(ours, "https://other.example", now), now, errTicketOrigin},
		{"another key", issue(theirs, "", now), now, errTicketForged},
		{"another user", other + "." + tail, now, errTicketForged},
		{"no signature", head + ".", now, errTicketForged},
		{"no dot", head, now, errTicketForged},
		{"truncated", good[:len(good)-1], now, errTicketForged},
		{"padded", good + "=", now, errTicketForged},
		{"extended", good + "." + tail, now, errTicketForged},
		{"a line break inside", head + "\n." + tail, now, errTicketForged},
		{"nothing", "", now, errTicketForged},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ours.open(c.text, site, c.now)
			if !errors.Is(err, c.want) || err == nil && got.User != "ann" {
				t.Errorf("got %+v, %v; want %v", got, err, c.want)
			}
		})
	}
}

// The last character of base64 has spare bits: one ticket must have one spelling, or the bucket's key were not the only thing against reuse.
func TestTicketHasOneSpelling(t *testing.T) {
	ts := newTickets(bytes.Repeat([]byte{1}, 32), nil, nil)
	good, _ := ts.issue(ticket{Tenant: tenant, User: "ann", Session: "s1"}, time.Now())
	for c := range strings.SplitSeq("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", "") {
		text := good[:len(good)-1] + c
		if _, err := ts.open(text, "", time.Now()); (err == nil) != (text == good) {
			t.Errorf("ending in %s: %v", c, err)
		}
	}
}

// Whatever ids a ticket was issued for, a tab can send it.
func TestLongestTicketFitsHello(t *testing.T) {
	ts := newTickets(bytes.Repeat([]byte{1}, 32), nil, nil)
	for _, fill := range []string{"<", "&", `"`, `\`, "\u2028", "ä", "x"} {
		id := strings.Repeat(fill, 256/len(fill))
		text, _ := ts.issue(ticket{
			Tenant: strings.Repeat("t", 63), User: id, Session: id, Device: id, Client: id, Origin: id, AuthTime: 1e15, SessionExpires: 253_402_300_799_999,
		}, time.Now())
		b, err := tab.EncodeHello(tab.Hello{Ticket: text, After: strings.Repeat("a", tab.MaxNoticeIDBytes), Position: math.MaxUint64})
		if err != nil || len(b) > tab.MaxClientFrameBytes {
			t.Errorf("%q: hello of %d bytes, %v", fill, len(b), err)
		}
		if got, err := ts.open(text, id, time.Now()); err != nil || got.User != id {
			t.Errorf("%q: %v", fill, err)
		}
	}
}

func TestTicketRefusedOnTheWire(t *testing.T) {
	for _, c := range []struct {
		name string
		text func(g *rig) string
		want tab.CloseCode
	}{
		{"forged", func(g *rig) string { return g.ticket(who("ann", "s1")) + "x" }, tab.CloseTicketRefused},
		{"expired", func(g *rig) string {
			text := g.ticket(who("ann", "s1"))
			pass(TicketLifetime + time.Millisecond)
			return text
		}, tab.CloseTicketRefused},
		{"reused", func(g *rig) string {
			text := g.ticket(who("ann", "s1"))
			first := g.pipe()
			hello(g.t, first, text)
			next(g.t, first)
			return text
		}, tab.CloseTicketRefused},
		{"as long as can be", func(*rig) string { return strings.Repeat("x", 4000) }, tab.CloseTicketRefused},
		{"oversize", func(*rig) string { return strings.Repeat("x", 5000) }, tab.CloseTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				text := c.text(g)
				conn := g.pipe()
				go func() { _ = conn.Hello(text) }()
				if closed := wantClose(t, conn, c.want); strings.Contains(text, closed.Reason) {
					t.Errorf("the close reason %q quotes the ticket", closed.Reason)
				}
				g.stop()
				for part := range strings.SplitSeq(text, ".") {
					if log := g.log.String(); strings.Contains(log, part[:min(40, len(part))]) {
						t.Errorf("the log holds the ticket: %s", log)
					}
				}
			})
		})
	}
}

// usedTickets, which the other tests use, and the real bucket behave alike: of all who redeem a ticket at once, on two gateways, one wins.
func TestTicketOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		kv   func(t *testing.T) jetstream.KeyValue
	}{
		{"in memory", func(*testing.T) jetstream.KeyValue { return &usedTickets{} }},
		{"NATS", func(t *testing.T) jetstream.KeyValue { return bucket(t, natstest.Bus(t)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			kv := c.kv(t)
			key := bytes.Repeat([]byte{1}, 32)
			gateways := []tickets{newTickets(key, kv, nil), newTickets(key, kv, nil)}
			for range 10 {
				text, _ := gateways[0].issue(ticket{Tenant: tenant, User: "ann", Session: "s1"}, time.Now())
				var wg sync.WaitGroup
				errs := make([]error, 8)
				for i := range errs {
					wg.Go(func() { _, errs[i] = gateways[i%2].redeem(t.Context(), text, "") })
				}
				wg.Wait()
				won := 0
				for _, err := range errs {
					switch {
					case err == nil:
						won++
					case !errors.Is(err, errTicketUsed):
						t.Errorf("a loser's error is %v", err)
					}
				}
				if won != 1 {
					t.Errorf("%d of %d won", won, len(errs))
				}
			}
		})
	}
}

// Without NATS nobody can tell whether a ticket was used: the tab is to come back, and nobody gets in.
func TestTicketBucketUnavailable(t *testing.T) {
	srv := natstest.Start(t)
	nc, err := nats.Connect(srv.URL(), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "TICKETS", TTL: 2 * TicketLifetime})
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, func(cfg *Config) { cfg.UsedTickets = kv })
	url := g.serve()
	g.open(who("ann", "s1"))
	srv.Stop()
	wantClose(t, g.dial(url, g.ticket(who("ann", "s2"))), tab.CloseOverloaded)
	g.stop()
	if log := g.log.String(); !strings.Contains(log, "warning") {
		t.Errorf("nothing but %q is logged", log)
	}
}

// The call that issues tickets, with a real key store.
func TestIssueTicket(t *testing.T) {
	b := natstest.Bus(t)
	keys := accesstest.Open(t, b)
	_, key := accesstest.Key(t, keys, tenant, access.ScopePublish)
	_, reader := accesstest.Key(t, keys, tenant, access.ScopeRead)
	g := newRig(t, func(cfg *Config) { cfg.Keys, cfg.UsedTickets = keys, bucket(t, b) })
	url := g.serve()
	call := func(key, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/tickets", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer http.DefaultClient.CloseIdleConnections()
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}
	stamp := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }
	good := `{"user":"ann","session":"s1","auth_time":"` + stamp(-time.Hour) + `","origin":"` + site + `"}`
	for _, c := range []struct {
		name, body string
		key        string
		want       int
		holds      string
	}{
		{"no key", good, "", 401, "api_key"},
		{"another scope", good, reader, 403, "api_key_scope"},
		{"not JSON", "x", key, 400, "malformed_body"},
		{"a tenant of its own choice", `{"tenant":"beta"}`, key, 400, "tenant"},
		{"nothing", "{}", key, 422, `"user"`},
		{"no auth time", `{"user":"ann","session":"s1"}`, key, 422, `"auth_time"`},
		{"auth time in the future", `{"user":"ann","session":"s1","auth_time":"` + stamp(time.Hour) + `"}`, key, 422, "future"},
		{"an end that has passed", `{"user":"ann","session":"s1","auth_time":"` + stamp(-time.Hour) + `","session_expires_at":"` + stamp(-time.Second) + `"}`, key, 422, `"session_expires_at"`},
		{"an end ahead", `{"user":"ann","session":"s1","auth_time":"` + stamp(-time.Hour) + `","session_expires_at":"` + stamp(time.Hour) + `"}`, key, 200, "ticket"},
		{"a control character", `{"user":"a\u0007","session":"s1","auth_time":"` + stamp(0) + `"}`, key, 422, `"user"`},
		{"good", good, key, 200, `"ticket"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if status, answer := call(c.key, c.body); status != c.want || !strings.Contains(answer, c.holds) {
				t.Errorf("got %d %s; want %d with %s", status, answer, c.want, c.holds)
			}
		})
	}
	_, answer := call(key, good)
	var a TicketAnswer
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		t.Fatal(err)
	}
	c := g.dial(url, a.Ticket)
	if f := next(t, c); f.Type != tab.TypeReady || f.Session != "s1" {
		t.Errorf("got %+v, want ready", f)
	}
	if tabs := g.svc.Tabs(tenant, "ann"); len(tabs) != 1 || tabs[0].Session != "s1" {
		t.Errorf("tabs %+v", tabs)
	}
	if tabs := g.svc.Tabs("beta", "ann"); len(tabs) != 0 {
		t.Errorf("another tenant's tabs %+v", tabs)
	}
}

// A ticket that may have been used before all that is known is no good, and one that was issued since is.
func TestTicketsOlderThanWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		since := time.Now()
		var err error
		g := newRig(t, func(cfg *Config) {
			cfg.UsedSince = func(context.Context) (time.Time, error) { return since, err }
		})
		old := g.ticket(who("ann", "s1"))
		pass(time.Second)
		since = time.Now()
		fresh := g.ticket(who("ann", "s1"))
		if _, err := g.svc.redeem(old, site); !errors.Is(err, errTicketOld) {
			t.Errorf("an old one: %v", err)
		}
		if _, err := g.svc.redeem(fresh, site); err != nil {
			t.Errorf("a fresh one: %v", err)
		}
		err = errors.New("no NATS")
		if _, err := g.svc.redeem(g.ticket(who("ann", "s1")), site); !errors.Is(err, errTicketUnknown) {
			t.Errorf("when it can't be told: %v", err)
		}
		for result, want := range map[string]float64{"used": 1, "too_old": 1, "unknown": 1, "forged": 0} {
			if got := testutil.ToFloat64(g.metrics.Tickets.WithLabelValues(result)); got != want {
				t.Errorf("counted %v as %s, want %v", got, result, want)
			}
		}
	})
}
