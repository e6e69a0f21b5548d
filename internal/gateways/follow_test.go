package gateways_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/natstest"
)

// heard is what a follower has heard.
type heard[T any] struct {
	mu   sync.Mutex
	list []T
}

func (h *heard[T]) add(v T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, v)
}

func (h *heard[T]) all() []T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.list)
}

// follow returns once the subscription is there, and ends with the test.
func follow[T any](t *testing.T, by func(context.Context, func(T), ...gateways.FollowOption) error) *heard[T] {
	t.Helper()
	h := &heard[T]{}
	ctx, cancel := context.WithCancel(t.Context())
	subscribed, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		if err := by(ctx, h.add, gateways.WhenSubscribed(func() { close(subscribed) })); err != nil {
			t.Errorf("follow: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case <-subscribed:
	case <-ended:
		t.FailNow()
	}
	return h
}

func newAck(t *testing.T, conn uint64) gateways.Ack {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return gateways.Ack{Tenant: "acme", Event: id.String(), Outcome: tab.OutcomeSignedOut, At: time.Unix(1_700_000_000, 42).UTC(), Conn: conn}
}

func TestAcksAreHeard(t *testing.T) {
	srv, all, f := three(t)
	h := follow(t, f.FollowAcks)
	var want []gateways.Ack
	for name, g := range all {
		for i, outcome := range []tab.Outcome{tab.OutcomeSignedOut, tab.OutcomeAlready, tab.OutcomeIgnored} {
			a := newAck(t, uint64(i+1))
			a.Outcome = outcome
			g.Acked(a)
			a.Gateway = g.ID()
			want = append(want, a)
		}
		bad := newAck(t, 9)
		bad.Event = "max_age"
		if g.Acked(bad); g.Stats().AcksDropped != 1 {
			t.Errorf("%s has taken one that isn't in form", name)
		}
	}
	eventually(t, "all are heard", func() bool { return len(h.all()) == len(want) })
	byEvent := func(a, b gateways.Ack) int { return cmpString(a.Event, b.Event) }
	got := h.all()
	slices.SortFunc(got, byEvent)
	slices.SortFunc(want, byEvent)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// Without a server they wait, and are told when it is back.
	srv.Stop()
	eventually(t, "a has noticed", func() bool { return !all["a"].nc.IsConnected() })
	for i := range 1_000 {
		all["a"].Acked(newAck(t, uint64(i+1)))
	}
	srv.Restart()
	eventually(t, "a has told all", func() bool { return all["a"].Stats().Acks == 1_003 })

	// At the end nothing is left behind, where there is a connection.
	b := all["b"]
	eventually(t, "b and the follower are back", func() bool {
		_, err := f.Members(t.Context())
		return err == nil && b.nc.IsConnected()
	})
	more := follow(t, f.FollowAcks)
	for i := range 10 {
		b.Acked(newAck(t, uint64(i+1)))
	}
	b.stop()
	eventually(t, "what b had is heard", func() bool {
		n := 0
		for _, a := range more.all() {
			if a.Gateway == b.ID() {
				n++
			}
		}
		return n == 10
	})
	if s := b.Stats(); s.Acks != 13 || s.AcksDropped != 1 {
		t.Errorf("b has told %d and dropped %d", s.Acks, s.AcksDropped)
	}
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestPresenceIsHeard(t *testing.T) {
	_, all, f := three(t)
	h := follow(t, f.FollowPresence)
	const users = 2_000
	for i := range users {
		all["a"].Up("acme", fmt.Sprint(i))
	}
	all["b"].Up("acme", "0")
	eventually(t, "all are there", func() bool { return len(h.all()) == users+1 })
	for i := range users {
		all["a"].Down("acme", fmt.Sprint(i))
	}
	eventually(t, "all but one have gone", func() bool { return len(h.all()) == 2*users+1 })
	there := map[string]bool{}
	for _, c := range h.all() {
		if c.Tenant != "acme" || c.Since.IsZero() {
			t.Fatalf("heard %+v", c)
		}
		if key := c.Gateway + " " + c.User; c.Online {
			there[key] = true
		} else {
			delete(there, key)
		}
	}
	if diff := cmp.Diff(map[string]bool{all["b"].ID() + " 0": true}, there); diff != "" {
		t.Errorf("there (-want +got):\n%s", diff)
	}
	if s := all["a"].Stats(); s.Changes != 2*users || s.Users != 0 || s.Bad != 0 {
		t.Errorf("a: %+v", s)
	}
}

// What isn't in form is counted; what stands beside it is heard.
func TestFollowersIgnoreWhatIsBad(t *testing.T) {
	srv := natstest.Start(t)
	l := connect(t, srv.URL())
	f := fleetOf(t, l, gateways.FleetConfig{})
	acks, changes := follow(t, f.FollowAcks), follow(t, f.FollowPresence)
	const id = `"gateway":"00112233445566778899aabbccddeeff"`
	ack := `{"tenant":"acme","event":"01980f3c-7b0a-7c1e-9f57-3a1d2b4c5d6e","outcome":"already","at":"2026-01-02T03:04:05Z","conn":1}`
	change := `{"tenant":"acme","user":"ada","online":true,"since":"2026-01-02T03:04:05Z"}`
	for topic, messages := range map[string][]string{
		bus.LiveAcksTopic: {
			`x`, `{"v":2,` + id + `,"acks":[` + ack + `]}`, `{"v":1,"gateway":"x","acks":[` + ack + `]}`,
			`{"v":1,` + id + `,"acks":[null,{"tenant":"acme","event":"x","outcome":"already","at":"2026-01-02T03:04:05Z","conn":1},` + ack + `],"new":1}`,
		},
		bus.LivePresenceTopic: {
			``, `{"v":0,` + id + `,"changes":[` + change + `]}`, `{"v":1,"gateway":"x","changes":[` + change + `]}`,
			`{"v":1,` + id + `,"changes":[null,{"tenant":"*","user":"ada","since":"2026-01-02T03:04:05Z"},` + change + `],"new":1}`,
		},
	} {
		for _, m := range messages {
			if err := l.nc.Publish(topic, []byte(m)); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "the good ones are heard", func() bool { return len(acks.all()) == 1 && len(changes.all()) == 1 && f.Stats().Bad == 10 })
	if a := acks.all()[0]; a.Conn != 1 || a.Gateway != "00112233445566778899aabbccddeeff" {
		t.Errorf("heard %+v", a)
	}
	if c := changes.all()[0]; c.User != "ada" || !c.Online {
		t.Errorf("heard %+v", c)
	}
}

// Who is too slow misses something, and knows.
func TestFollowerThatIsTooSlow(t *testing.T) {
	srv := natstest.Start(t)
	g := run(t, srv.URL(), "a", func(c *gateways.Config) { c.AcksDelay = -1 })
	f := fleetOf(t, connect(t, srv.URL()), gateways.FleetConfig{})
	blocks := make(chan struct{})
	subscribed, ended := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		ended <- f.FollowAcks(ctx, func(gateways.Ack) { <-blocks }, gateways.WhenSubscribed(func() { close(subscribed) }))
	}()
	<-subscribed
	a := newAck(t, 1)
	// Each is told before the next one comes, so that each is a message.
	for i := range uint64(400) {
		g.Acked(a)
		eventually(t, "it is told", func() bool { return g.Stats().Acks == i+1 })
	}
	if err := g.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a message after the flood", func() bool {
		select {
		case blocks <- struct{}{}:
		default:
		}
		return f.Stats().Missed > 0
	})
	close(blocks)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("follow: %v", err)
	}
}
