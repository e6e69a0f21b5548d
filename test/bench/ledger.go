package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
)

// ledger is a NATS server in this process, with a ledger that is written to and has beats.
type ledger struct {
	bus     *bus.Bus
	beating sync.WaitGroup
	stop    context.CancelFunc
}

// openLedger makes a ledger whose first position will be first.
func openLedger(ctx context.Context, dir string, first uint64) (*ledger, error) {
	// It syncs to the disk now and then: what is measured only reads.
	cfg := bus.Config{Embedded: bus.Embedded{Dir: dir, ListenAddr: "127.0.0.1:0", SyncInterval: time.Second}}
	b, err := bus.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	spec := bus.LedgerSpec(cfg)
	spec.FirstSeq = first
	if _, err = b.JetStream().CreateStream(ctx, spec); err == nil {
		err = b.EnsureStreams(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	beats, stop := context.WithCancel(ctx)
	l := &ledger{bus: b, stop: stop}
	l.beating.Go(func() { _ = b.Beat(beats, bus.BeaterConfig{Source: "bench"}) }) // fails only when it is called wrongly
	return l, nil
}

func (l *ledger) url() string { return l.bus.ClientURL() }

func (l *ledger) close() {
	l.stop()
	l.beating.Wait()
	_ = l.bus.Close() // its folder is removed
}

// publish stores n events, each of a session of its own, from session number from on.
func (l *ledger) publish(ctx context.Context, from, n int) error {
	p := l.bus.Publisher()
	for n > 0 {
		batch := min(n, bus.MaxBatch)
		topics, msgs := make([]string, batch), make([]*message.Message, batch)
		for i := range batch {
			e, err := published(from + i)
			if err != nil {
				return err
			}
			body, err := events.Encode(e)
			if err != nil {
				return err
			}
			topics[i], msgs[i] = events.TopicOf(e).String(), message.NewMessage(e.ID, body)
		}
		if _, errs := p.PublishAll(ctx, topics, msgs); errors.Join(errs...) != nil {
			return fmt.Errorf("publish events: %w", errors.Join(errs...))
		}
		from, n = from+batch, n-batch
	}
	return nil
}

// published is what an application tells when somebody signs out.
func published(i int) (*events.SessionRevoked, error) {
	id, err := events.NewID()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &events.SessionRevoked{
		Common: events.Common{ID: id, Time: now, Source: "bench", Tenant: events.DefaultTenant, Reason: events.ReasonUserLogout,
			Initiator: events.Initiator{Type: events.InitiatorUser}},
		Session: sessionID(i), User: userID(i), AuthTime: now.Add(-time.Hour),
	}, nil
}
