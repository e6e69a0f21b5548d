package revocationnats_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// reports are what is heard on the topic of reports.
type reports struct {
	t       *testing.T
	all     chan presence.Report
	applied chan presence.Applied
	nc      *nats.Conn
}

func (r *rig) hearReports() reports {
	r.t.Helper()
	h := reports{t: r.t, all: make(chan presence.Report, 1024), applied: make(chan presence.Applied, 4096), nc: r.js.Conn()}
	sub, err := h.nc.Subscribe(presence.ReportsTopic, func(msg *nats.Msg) {
		got, err := presence.DecodeReport(msg.Data)
		if err != nil {
			r.t.Errorf("%s: %v", msg.Data, err)
		}
		h.all <- got
	})
	if err != nil {
		r.t.Fatal(err)
	}
	short, err := h.nc.Subscribe(presence.AppliedTopic, func(msg *nats.Msg) {
		got, err := presence.DecodeApplied(msg.Data)
		if err != nil {
			r.t.Errorf("%s: %v", msg.Data, err)
		}
		h.applied <- got
	})
	if err == nil {
		err = h.nc.Flush()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = sub.Unsubscribe(); _ = short.Unsubscribe() })
	return h
}

// untilApplied waits until a replica has said that it is at a position.
func (h reports) untilApplied(position uint64) presence.Applied {
	h.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case a := <-h.applied:
			if a.Position >= position {
				return a
			}
		case <-deadline:
			h.t.Fatalf("nobody says that it is at %d", position)
		}
	}
}

// until returns the first report that is as it should be.
func (h reports) until(what string, ok func(presence.Report) bool) presence.Report {
	h.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case r := <-h.all:
			if ok(r) {
				return r
			}
		case <-deadline:
			h.t.Fatalf("no report that is %s", what)
		}
	}
}

func (h reports) ask(a presence.Await) {
	h.t.Helper()
	data, err := presence.EncodeAwait(a)
	if err == nil {
		err = h.nc.Publish(presence.AwaitTopic, data)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestPresence(t *testing.T) {
	r := newRig(t, quick)
	r.beats(50 * time.Millisecond)
	replica := r.open(revocation.Config{StalenessBudget: 2 * time.Second})
	heard := r.hearReports()
	p, err := revocationnats.NewPresence(r.js.Conn(), replica, revocationnats.PresenceConfig{Name: "billing-7", Group: "billing", Version: "1.4.2"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	first := heard.until("its first", func(presence.Report) bool { return true })
	if first.ID != p.ID() || first.Name != "billing-7" || first.Group != "billing" || first.Version != "1.4.2" || first.Stream != replica.Status().Made || first.BudgetMS != 2000 || first.Leaving {
		t.Errorf("got %+v", first)
	}
	// It says each second how far it is, though nobody asks.
	position := r.Publish(logout(1))
	heard.until("at the event", func(got presence.Report) bool { return got.Position >= position && got.Fresh && got.StalenessMS >= 0 })

	// It answers at once that it has applied what somebody waits for, and once it has what comes.
	heard.ask(presence.Await{Stream: first.Stream, Position: position})
	if a := heard.untilApplied(position); a.ID != first.ID || a.Stream != first.Stream {
		t.Errorf("got %+v", a)
	}
	next := position + 200
	heard.ask(presence.Await{Stream: first.Stream, Position: next})
	for n := range 200 {
		r.Publish(logout(10 + n))
	}
	heard.untilApplied(next)

	if err := p.Close(); err != nil {
		t.Error(err)
	}
	_ = p.Close()
	heard.until("its last", func(got presence.Report) bool { return got.Leaving && got.ID == p.ID() })
}

// standing is a replica that has stopped at a position until it goes on.
type standing struct {
	position atomic.Uint64
	moved    chan struct{}
	waits    atomic.Int64
}

func (s *standing) Status() revocation.Status {
	return revocation.Status{Made: "CURFEW@1", Position: s.position.Load(), Staleness: -1}
}
func (*standing) Check(revocation.Session) revocation.Decision { return revocation.Decision{} }
func (*standing) StalenessBudget() time.Duration               { return time.Minute }
func (s *standing) WaitFor(ctx context.Context, _ uint64) error {
	s.waits.Add(1)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.moved:
		return nil
	}
}

// However many wait, and for whatever, a replica waits for few of them, and goes on reporting.
func TestManyWaitForOnePresence(t *testing.T) {
	r := newRig(t, quick)
	heard := r.hearReports()
	s := &standing{moved: make(chan struct{})}
	own := r.connect(r.srv.URL()).Conn()
	p, err := revocationnats.NewPresence(own, s, revocationnats.PresenceConfig{})
	if err == nil {
		err = own.Flush() // from here on the server knows that it listens
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	first := heard.until("its first", func(presence.Report) bool { return true })
	if first.Name == "" || first.Group != "default" || first.StalenessMS != -1 || first.Fresh {
		t.Errorf("got %+v", first)
	}
	// Who asks again for the same takes no other's place.
	for range 100 {
		heard.ask(presence.Await{Stream: "CURFEW@1", Position: 1})
	}
	eventually(t, "it waits", func() bool {
		for n := range 1000 { // again and again, as who waits does: of what comes faster than it is read some is dropped
			heard.ask(presence.Await{Stream: "CURFEW@1", Position: uint64(n + 1)})
		}
		return s.waits.Load() == 64
	})
	// Of another incarnation it can't wait for a position: it says at once where it is.
	heard.ask(presence.Await{Stream: "CURFEW@2", Position: 1})
	heard.until("still there", func(presence.Report) bool { return true })
	s.position.Store(1000)
	close(s.moved)
	heard.untilApplied(1000)
	if n := s.waits.Load(); n != 64 {
		t.Errorf("it waited for %d at once", n)
	}
}

func TestPresenceThatCantBeReported(t *testing.T) {
	r := newRig(t, quick)
	s := &standing{moved: make(chan struct{})}
	for name, cfg := range map[string]revocationnats.PresenceConfig{
		"name": {Name: "two\nlines"}, "group": {Group: strings.Repeat("g", 200)}, "version": {Version: "\x1b[2J"}, "budget": {Budget: -time.Second},
	} {
		if _, err := revocationnats.NewPresence(r.js.Conn(), s, cfg); !errors.Is(err, revocationnats.ErrPresence) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := revocationnats.NewPresence(nil, s, revocationnats.PresenceConfig{}); !errors.Is(err, revocationnats.ErrPresence) {
		t.Errorf("without a connection: %v", err)
	}
}
