package receipts

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/signing"
)

const (
	// firstAsk and lastAsk are how often gateways are asked what was shown: soon, and then ever less.
	firstAsk = 10 * time.Millisecond
	lastAsk  = 250 * time.Millisecond
	// lastWord is what a waiting that is over gives gateways to say how far they are.
	lastWord = 250 * time.Millisecond
)

// ReplicaFleet tells which replicas have applied a position; *replicas.Fleet does.
type ReplicaFleet interface {
	Await(ctx context.Context, q replicas.Wanted) (replicas.Progress, error)
}

// GatewayFleet tells what tabs were shown; *gateways.Fleet does.
type GatewayFleet interface {
	Shown(ctx context.Context, event string, position uint64) (gateways.ShownAnswer, error)
}

// Config of a Desk. Fields without a note are required.
type Config struct {
	Replicas ReplicaFleet
	Gateways GatewayFleet
	// Stream returns the incarnation of the ledger, as replicas report it.
	Stream func() string
	// Bucket is bus.ReceiptsBucket's, and Kept reads the stream that it is.
	Bucket jetstream.KeyValue
	Kept   *ledger.Reader
	Keys   *signing.Keys
	// Lost is told that a receipt couldn't be kept; it may be nil.
	Lost func()
	Log  logrus.FieldLogger
}

// Desk makes receipts and keeps them. Make it with New, and run it with Run. Its methods are safe for concurrent use.
type Desk struct {
	cfg   Config
	queue chan Receipt
	// places has a token for each event for whose tabs somebody waits.
	places chan struct{}

	mu sync.Mutex
	// behind are those in the queue, by their entries: a channel is closed once it is settled whether the receipt is kept. Guarded by mu.
	behind map[string]chan struct{}
}

const (
	// maxQueue is how many receipts wait to be kept.
	maxQueue = 4096
	// maxShownWaits is for how many events' tabs is waited at once: each asks all gateways again and again.
	maxShownWaits = 64
)

// New returns a desk. It reports every missing part at once.
func New(cfg Config) (*Desk, error) {
	var errs []error
	missing := func(absent bool, name string) {
		if absent {
			errs = append(errs, errors.New("receipts config: "+name+" is required"))
		}
	}
	missing(cfg.Replicas == nil, "Replicas")
	missing(cfg.Gateways == nil, "Gateways")
	missing(cfg.Stream == nil, "Stream")
	missing(cfg.Bucket == nil, "Bucket")
	missing(cfg.Kept == nil, "Kept")
	missing(cfg.Keys == nil, "Keys")
	missing(cfg.Log == nil, "Log")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.Lost == nil {
		cfg.Lost = func() {}
	}
	return &Desk{cfg: cfg, queue: make(chan Receipt, maxQueue), places: make(chan struct{}, maxShownWaits), behind: map[string]chan struct{}{}}, nil
}

// Wait waits until the event has reached whom aim says, or ctx ends, and returns whom it has reached by then. What isn't heard, or can't be asked, is left out, and the receipt isn't
// complete then: what is stored is stored, and no failure of ours must look otherwise.
func (d *Desk) Wait(ctx context.Context, e Event, aim Aim) Receipt {
	return d.WaitAll(ctx, []Event{e}, aim)[0]
}

// WaitAll is Wait for the events of one call; there must be one.
func (d *Desk) WaitAll(ctx context.Context, list []Event, aim Aim) []Receipt {
	last := slices.MaxFunc(list, func(a, b Event) int { return cmp.Compare(a.Position, b.Position) })
	stream := d.cfg.Stream()
	progress, err := d.cfg.Replicas.Await(ctx, replicas.Wanted{Stream: stream, Position: last.Position, Asked: last.Asked, Stored: last.Stored})
	if err != nil {
		d.cfg.Log.WithError(err).Warn("nobody waits for replicas: the receipt is empty")
	}
	out := make([]Receipt, len(list))
	for i, e := range list {
		out[i] = Receipt{
			V: version, Event: e.ID, Tenant: e.Tenant, Position: e.Position, Stream: stream, Aim: aim,
			Replicas: replicasOf(progress, !e.Stored.IsZero()), Complete: progress.Complete(), Certain: progress.Certain,
		}
	}
	if aim == Shown {
		d.waitAllShown(ctx, out)
	}
	for i := range out {
		out[i].Made = time.Now().UTC()
	}
	return out
}

// waitAllShown waits for the tabs of all events together, a few at a time.
func (d *Desk) waitAllShown(ctx context.Context, list []Receipt) {
	// Who hasn't answered when the time is over gets a moment more, once for all.
	asking, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastWord, cancel) })()
	var work sync.WaitGroup
	for i := range list {
		select {
		case d.places <- struct{}{}:
		case <-asking.Done():
			// Others wait for theirs: of this one nothing is known.
			list[i].Tabs, list[i].Complete, list[i].Certain = &Tabs{Gateways: []Gateway{}}, false, false
			continue
		}
		work.Go(func() {
			defer func() { <-d.places }()
			d.waitShown(ctx, asking, &list[i])
		})
	}
	work.Wait()
}

// waitShown asks gateways until there is nothing more to wait for.
func (d *Desk) waitShown(ctx, asking context.Context, r *Receipt) {
	pause := firstAsk
	for {
		a, err := d.askShown(asking, r.Event, r.Position)
		if err != nil && asking.Err() == nil {
			d.cfg.Log.WithError(err).Warn("gateways can't be asked what was shown")
		}
		tabs, over := tabsOf(a)
		if over = over && err == nil; over || ctx.Err() != nil {
			r.Tabs, r.Complete, r.Certain = &tabs, r.Complete && over, r.Certain && err == nil && !a.MembersUnknown
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastAsk)
	}
}

// askShown asks gateways once, for a moment.
func (d *Desk) askShown(asking context.Context, event string, position uint64) (gateways.ShownAnswer, error) {
	asking, cancel := context.WithTimeout(asking, lastWord)
	defer cancel()
	return d.cfg.Gateways.Shown(asking, event, position)
}
