package gateways_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/natstest"
)

// What isn't in form is counted and ignored; of two answers by one gateway the first counts.
func TestBadAnswers(t *testing.T) {
	srv, _, f := three(t)
	const id = "00112233445566778899aabbccddeeff"
	tab := `{"session":"s","since":"2026-01-02T03:04:05Z","transport":"websocket"}`
	bad := []string{
		``, `null`, `[]`, `{}`, `x`, `{"v":2,"gateway":"` + id + `","name":"x","tabs":[]}`, `{"v":1,"gateway":"x","name":"x","tabs":[]}`,
		`{"v":1,"gateway":"` + id + `","name":"a\nb","tabs":[]}`, `{"v":1,"gateway":"` + id + `","name":"x","tabs":[null]}`,
		`{"v":1,"gateway":"` + id + `","name":"x","tabs":[{"session":"","since":"2026-01-02T03:04:05Z"}]}`,
		`{"v":1,"gateway":"` + id + `","name":"x","tabs":[{"session":"s"}]}`,
		`{"v":1,"gateway":"` + id + `","name":"x","tabs":[{"session":"s","since":"2026-01-02T03:04:05Z","transport":"A b"}]}`,
		`{"v":1,"gateway":"` + id + `","name":"x","tabs":[` + strings.Repeat(tab+",", 1_000) + tab + `]}`,
	}
	good := `{"v":1,"gateway":"` + id + `","name":"aa","tabs":[` + tab + `]}`
	twice := `{"v":1,"gateway":"` + id + `","name":"zz","tabs":[]}`
	l := connect(t, srv.URL())
	put := func(value string) {
		if _, err := l.kv.PutString(t.Context(), id, value); err != nil {
			t.Fatal(err)
		}
	}
	// A member of a format to come is asked like the others. The question ends with its answer, so that the bad ones come before.
	put(`{"v":2}`)
	if _, err := l.nc.Subscribe(bus.LiveTabsTopic, func(m *nats.Msg) {
		for _, a := range append(bad, good, twice) {
			_ = m.Respond([]byte(a))
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, f, patience); summary(a) != "a:1 aa:1 b:1 c:1 " {
		t.Errorf("got %q", summary(a))
	}
	if got, want := f.Stats().Bad, uint64(len(bad)+1); got != want {
		t.Errorf("%d bad ones counted, want %d", got, want)
	}
	// With another member that says nothing all is heard that comes, until there is no time left.
	if _, err := l.kv.PutString(t.Context(), strings.Repeat("f", 32), `{"v":1,"name":"silent"}`); err != nil {
		t.Fatal(err)
	}
	put(`{"v":1,"name":"aa"}`)
	if a := ask(t, f, time.Second); summary(a) != "a:1 aa:1 b:1 c:1 -silent " {
		t.Errorf("with a silent one: %q", summary(a))
	}
	if err := l.kv.Delete(t.Context(), strings.Repeat("f", 32)); err != nil {
		t.Fatal(err)
	}
	put(`{"v":1,"name":"a\nb"}`)
	if _, err := l.kv.PutString(t.Context(), "not-an-id", `{"v":1,"name":"x"}`); err != nil {
		t.Fatal(err)
	}
	if got := membersOf(t, f); !slices.Equal(got, []string{"", "a", "b", "c"}) {
		t.Errorf("members %q", got)
	}
}

// A gateway answers nowhere but where answers go: it may publish where who asks may not.
func TestGatewayLendsNobodyItsRights(t *testing.T) {
	srv := natstest.Start(t)
	g := run(t, srv.URL(), "a")
	l := connect(t, srv.URL())
	q := `{"v":1,"tenant":"acme","user":"ada"}`
	var heard []*nats.Subscription
	n := uint64(0)
	for _, reply := range []string{"", "curfew.v1.acme.00.session", "$KV.CURFEW_GATEWAYS.x", "_INBOX.x", "curfew.live.acks", "curfew.live.answers.a.b"} {
		publish := func() error { return l.nc.Publish(bus.LiveTabsTopic, []byte(q)) }
		if reply != "" {
			publish = func() error { return l.nc.PublishRequest(bus.LiveTabsTopic, reply, []byte(q)) }
			sub, err := l.nc.SubscribeSync(reply)
			if err != nil {
				t.Fatal(err)
			}
			heard = append(heard, sub)
		}
		if err := publish(); err != nil {
			t.Fatal(err)
		}
		n++
	}
	for _, bad := range []string{
		``, `{}`, `null`, `{"v":2,"tenant":"acme","user":"ada"}`, `{"v":1,"tenant":"*","user":"ada"}`, `{"v":1,"tenant":"acme","user":""}`,
		`{"v":1,"tenant":"acme","user":"a\nb"}`, `{"v":1,"tenant":"acme","user":"ada","pad":"` + strings.Repeat("x", 4<<10) + `"}`,
	} {
		if err := l.nc.PublishRequest(bus.LiveTabsTopic, bus.LiveAnswerTopic("x"), []byte(bad)); err != nil {
			t.Fatal(err)
		}
		n++
	}
	eventually(t, "all are counted", func() bool { return g.Stats().Bad == n })
	if got := g.timesAsked(); got != 0 {
		t.Errorf("%d of them were looked up", got)
	}
	if err := g.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := l.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, sub := range heard {
		if n, _, _ := sub.Pending(); n != 0 {
			t.Errorf("%d answers on %s", n, sub.Subject)
		}
	}
}

// A flood of questions costs a few goroutines and a bounded queue, and is over when it is.
func TestFloodOfQuestions(t *testing.T) {
	srv := natstest.Start(t)
	g := run(t, srv.URL(), "a")
	f := fleetOf(t, connect(t, srv.URL()), gateways.FleetConfig{})
	release := g.block()
	l := connect(t, srv.URL())
	before := runtime.NumGoroutine()
	for range 3_000 {
		if err := l.nc.PublishRequest(bus.LiveTabsTopic, bus.LiveAnswerTopic("x"), []byte(`{"v":1,"tenant":"acme","user":"ada"}`)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "most are dropped", func() bool { return g.Stats().QuestionsDropped >= 2_000 })
	if now := runtime.NumGoroutine(); now > before+10 {
		t.Errorf("%d goroutines, and %d before", now, before)
	}
	if got := summary(ask(t, f, time.Second)); got != "-a " {
		t.Errorf("meanwhile: %q", got)
	}
	release()
	eventually(t, "it answers again", func() bool { return summary(ask(t, f, time.Second)) == "a:1 " })
	if got := g.timesAsked(); got > 1_000 {
		t.Errorf("it was asked %d times", got)
	}
}

// An answer holds as many tabs as may be and fit, and says that there are others.
func TestManyTabs(t *testing.T) {
	srv := natstest.Start(t, natstest.With(func(o *server.Options) { o.MaxPayload = 64 << 10 }))
	g := run(t, srv.URL(), "a")
	f := fleetOf(t, connect(t, srv.URL()), gateways.FleetConfig{})
	tabs := func(n, bytes int) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.tabs = nil
		for i := range n {
			id := fmt.Sprintf("%04d", i)
			g.tabs = append(g.tabs, gateways.Tab{Session: id + strings.Repeat("<", bytes-4), Since: time.Now()})
		}
	}
	for _, tt := range []struct {
		name     string
		n, bytes int
		want     func(n int, more bool) bool
	}{
		{"all", 300, 4, func(n int, more bool) bool { return n == 300 && !more }},
		{"more than fit into a message", 1_000, 256, func(n int, more bool) bool { return n > 150 && n < 256 && more }},
		{"more than 1,000", 1_200, 4, func(n int, more bool) bool { return n == 1_000 && more }},
	} {
		tabs(tt.n, tt.bytes)
		a := ask(t, f, patience)
		if len(a.Gateways) != 1 || !tt.want(len(a.Gateways[0].Tabs), a.Gateways[0].More) || a.Complete() == a.Gateways[0].More {
			t.Errorf("%s: %q", tt.name, summary(a))
		}
	}
	// One that isn't in form doesn't cost the others.
	tabs(3, 4)
	g.mu.Lock()
	g.tabs[2].Session = ""
	g.mu.Unlock()
	if got := summary(ask(t, f, patience)); got != "a:2+ " {
		t.Errorf("with one that isn't in form: %q", got)
	}
}
