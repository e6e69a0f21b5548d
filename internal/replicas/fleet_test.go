package replicas_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/replicas"
)

const ledger = "CURFEW@1"

// process speaks as a replica does.
type process struct {
	t        *testing.T
	nc       *nats.Conn
	about    presence.Report
	position atomic.Uint64
	// deaf is whether it answers nobody.
	deaf atomic.Bool
	mu   sync.Mutex
}

func startProcess(t *testing.T, url string, n int, budget time.Duration) *process {
	t.Helper()
	nc, err := nats.Connect(url, nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	p := &process{t: t, nc: nc, about: presence.Report{
		ID: fmt.Sprintf("PROCESS%04d", n), Name: fmt.Sprintf("billing-%d", n), Group: "billing", Stream: ledger, Fresh: true, BudgetMS: budget.Milliseconds(),
	}}
	_, err = nc.Subscribe(presence.AwaitTopic, func(msg *nats.Msg) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if a, err := presence.DecodeAwait(msg.Data); err == nil && !p.deaf.Load() && p.position.Load() >= a.Position {
			p.report()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) apply(position uint64) {
	p.position.Store(position)
	p.report()
}

func (p *process) report() { p.send(p.about) }

func (p *process) send(r presence.Report) {
	r.Position = p.position.Load()
	data, err := presence.EncodeReport(r)
	if err == nil {
		err = p.nc.Publish(presence.ReportsTopic, data)
	}
	if err == nil && p.nc.IsConnected() {
		err = p.nc.Flush()
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		p.t.Error(err)
	}
}

func (p *process) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf.Store(true)
	r := p.about
	r.Leaving = true
	p.send(r)
}

func newFleet(t *testing.T, url string) *replicas.Fleet {
	t.Helper()
	nc, err := nats.Connect(url, nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	f, err := replicas.NewFleet(nc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return f
}

// eventually waits for something that gives no signal of its own.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never %s", what)
		}
	}
}

func await(t *testing.T, f *replicas.Fleet, position uint64, patience time.Duration) replicas.Progress {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, err := f.Await(ctx, replicas.Wanted{Stream: ledger, Position: position, Stored: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// story is who has applied, who is late and whose lease has run out, by name.
func story(p replicas.Progress) string {
	var words []string
	add := func(what string, m replicas.Member) { words = append(words, what+" "+m.Name) }
	for _, a := range p.Applied {
		add("applied", a.Member)
	}
	for _, m := range p.Late {
		add("late", m)
	}
	for _, m := range p.Ended {
		add("ended", m)
	}
	return strings.Join(words, ", ")
}

func TestAwait(t *testing.T) {
	srv := natstest.Start(t)
	f := newFleet(t, srv.URL())
	// Nobody is there who could have applied it.
	if p := await(t, f, 1, 50*time.Millisecond); p.Complete() || p.Certain {
		t.Errorf("of nobody: %+v", p)
	}
	a, b, c := startProcess(t, srv.URL(), 1, time.Minute), startProcess(t, srv.URL(), 2, time.Minute), startProcess(t, srv.URL(), 3, time.Minute)
	for _, p := range []*process{a, b, c} {
		p.apply(10)
	}
	eventually(t, "three members", func() bool { return len(f.Members()) == 3 })
	// Those that have applied it before are asked for nothing.
	if p := await(t, f, 10, 10*time.Second); !p.Complete() || len(p.Applied) != 3 {
		t.Errorf("all have applied 10: %s", story(p))
	}
	// Two are asked and answer; one has not applied it.
	a.position.Store(11)
	b.position.Store(11)
	p := await(t, f, 11, 300*time.Millisecond)
	if p.Complete() || len(p.Applied) != 2 || len(p.Late) != 1 || p.Late[0].Name != "billing-3" || p.Late[0].Position != 10 {
		t.Errorf("one is late: %s", story(p))
	}
	// It comes while somebody waits.
	done := make(chan replicas.Progress)
	go func() { done <- await(t, f, 11, 10*time.Second) }()
	c.apply(11)
	if p := <-done; !p.Complete() || len(p.Applied) != 3 {
		t.Errorf("it has come: %s", story(p))
	}
	// One that leaves isn't waited for; one on another incarnation of the ledger is, wherever it is.
	c.leave()
	other := startProcess(t, srv.URL(), 4, time.Minute)
	other.about.Stream = "CURFEW@2"
	other.apply(1000)
	eventually(t, "another one instead", func() bool { m := f.Members(); return len(m) == 3 && m[2].Name == "billing-4" })
	if p := await(t, f, 11, 100*time.Millisecond); story(p) == "" || len(p.Late) != 1 || p.Late[0].Name != "billing-4" {
		t.Errorf("one is on another ledger: %s", story(p))
	}
}

// A replica that falls silent is late as long as it may still answer active, and from then on it fails closed: it is named, and not waited for.
func TestLeaseRunsOut(t *testing.T) {
	srv := natstest.Start(t)
	f := newFleet(t, srv.URL())
	well, silent := startProcess(t, srv.URL(), 1, time.Minute), startProcess(t, srv.URL(), 2, 500*time.Millisecond)
	silent.deaf.Store(true)
	well.apply(5)
	silent.apply(5)
	eventually(t, "both are there", func() bool { return len(f.Members()) == 2 })
	well.apply(6)
	began := time.Now()
	if p := await(t, f, 6, 200*time.Millisecond); p.Complete() || len(p.Late) != 1 {
		t.Errorf("before its lease has run out: %s", story(p))
	}
	p := await(t, f, 6, 20*time.Second)
	if got := story(p); !p.Complete() || got != "applied billing-1, ended billing-2" {
		t.Fatalf("after its lease has run out: %s", got)
	}
	ended := p.Ended[0]
	if since := ended.FailsClosedSince(); since.Before(began) || since.After(time.Now()) || since.Sub(ended.Heard) != 1500*time.Millisecond {
		t.Errorf("it fails closed since %v after it was heard at %v", since, ended.Heard)
	}
	// Who is silent holds up nobody, however many wait one after the other.
	began = time.Now()
	for position := uint64(7); position < 27; position++ {
		well.position.Store(position)
		if p := await(t, f, position, 20*time.Second); !p.Complete() || len(p.Ended) != 1 {
			t.Fatalf("at %d: %s", position, story(p))
		}
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("twenty took %v beside a silent one", took)
	}
	// It is back, and has missed it.
	silent.report()
	eventually(t, "late again", func() bool { p := await(t, f, 6, 10*time.Millisecond); return len(p.Late) == 1 })
}

// While we are cut off nobody is heard, which says nothing of anybody's lease.
func TestLeasesHoldWhileWeHearNothing(t *testing.T) {
	srv := natstest.Start(t)
	link := natstest.NewProxy(t, srv.Addr())
	f := newFleet(t, link.URL())
	a, b := startProcess(t, srv.URL(), 1, 50*time.Millisecond), startProcess(t, srv.URL(), 2, 50*time.Millisecond)
	a.apply(5)
	b.apply(5)
	eventually(t, "they are there", func() bool { return len(f.Members()) == 2 })
	heard := f.Members()[1].Heard
	link.Stall()
	eventually(t, "three seconds are over", func() bool { return time.Since(heard) > 3*presence.Interval })
	if p := await(t, f, 6, 10*time.Millisecond); len(p.Late) != 2 || p.Certain {
		t.Errorf("while nothing is heard: %s", story(p))
	}
	link.Heal()
	eventually(t, "one is heard, and the other's lease begins anew", func() bool {
		a.report()
		m := f.Members()
		return m[0].Heard.After(heard) && m[1].Heard.After(heard) && !m[1].Ended
	})
	eventually(t, "the lease of who is silent runs out", func() bool { a.report(); return f.Members()[1].Ended })
}

func TestReportsThatAreNotInForm(t *testing.T) {
	srv := natstest.Start(t)
	f := newFleet(t, srv.URL())
	nc := connect(t, srv)
	for _, data := range []string{"", "{}", "no report", strings.Repeat("x", presence.MaxBytes+1)} {
		if err := nc.Publish(presence.ReportsTopic, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "four are counted", func() bool { return f.Bad() == 4 })
	if diff := cmp.Diff(0, len(f.Members())); diff != "" {
		t.Error(diff)
	}
}

// A fleet that is closed tells who waits what is known.
func TestCloseEndsWaiting(t *testing.T) {
	srv := natstest.Start(t)
	f := newFleet(t, srv.URL())
	startProcess(t, srv.URL(), 1, time.Minute).apply(1)
	eventually(t, "it is there", func() bool { return len(f.Members()) == 1 })
	done := make(chan replicas.Progress)
	go func() { done <- await(t, f, 2, 20*time.Second) }()
	f.Close()
	f.Close()
	if p := <-done; p.Complete() || len(p.Late) != 1 {
		t.Errorf("got %s", story(p))
	}
}

// The ledger is put back, and a position given out anew. A replica that hasn't noticed has applied another message there: it is late until it has begun anew.
func TestAPositionIsGivenOutAnew(t *testing.T) {
	srv := natstest.Start(t)
	f := newFleet(t, srv.URL())
	noticed, unaware := startProcess(t, srv.URL(), 1, time.Minute), startProcess(t, srv.URL(), 2, time.Minute)
	noticed.apply(2)
	unaware.apply(7)
	eventually(t, "both are there", func() bool { return len(f.Members()) == 2 })
	asked := time.Now()
	wait := func(patience time.Duration) replicas.Progress {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		p, err := f.Await(ctx, replicas.Wanted{Stream: ledger, Position: 3, Asked: asked, Stored: asked})
		if err != nil {
			t.Error(err)
		}
		return p
	}
	noticed.apply(3)
	if p := wait(100 * time.Millisecond); p.Complete() || story(p) != "applied billing-1, late billing-2" {
		t.Errorf("it counts as applied: %s", story(p))
	}
	done := make(chan replicas.Progress)
	go func() { done <- wait(20 * time.Second) }()
	// It reads the ledger from the beginning.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		unaware.apply(1)
		unaware.apply(3)
		select {
		case p := <-done:
			if !p.Complete() || len(p.Applied) != 2 {
				t.Errorf("it has begun anew: %s", story(p))
			}
			return
		case <-tick.C:
		}
	}
}
