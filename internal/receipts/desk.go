package receipts

import (
	"cmp"
	"context"
	"errors"
	"slices"
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
	Await(ctx context.Context, stream string, position uint64, began time.Time) (replicas.Progress, error)
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
}

// maxQueue is how many receipts wait to be kept.
const maxQueue = 4096

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
	return &Desk{cfg: cfg, queue: make(chan Receipt, maxQueue)}, nil
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
	progress, err := d.cfg.Replicas.Await(ctx, stream, last.Position, last.Stored)
	if err != nil {
		d.cfg.Log.WithError(err).Warn("nobody waits for replicas: the receipt is empty")
	}
	applied := replicasOf(progress, !last.Stored.IsZero())
	out := make([]Receipt, len(list))
	for i, e := range list {
		r := Receipt{V: version, Event: e.ID, Tenant: e.Tenant, Position: e.Position, Stream: stream, Aim: aim, Replicas: applied, Complete: progress.Complete(), Certain: progress.Certain}
		if aim == Shown {
			d.waitShown(ctx, &r)
		}
		r.Made = time.Now().UTC()
		out[i] = r
	}
	return out
}

// waitShown asks gateways until there is nothing more to wait for.
func (d *Desk) waitShown(ctx context.Context, r *Receipt) {
	pause := firstAsk
	for {
		a, err := d.askShown(ctx, r.Event, r.Position)
		if err != nil {
			d.cfg.Log.WithError(err).Warn("gateways can't be asked what was shown")
			a.MembersUnknown = true
		}
		tabs, over := tabsOf(a)
		if over = over && err == nil; over || ctx.Err() != nil {
			r.Tabs, r.Complete, r.Certain = &tabs, r.Complete && over, r.Certain && !a.MembersUnknown
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastAsk)
	}
}

// askShown asks gateways once; those that haven't answered when ctx ends get a moment.
func (d *Desk) askShown(ctx context.Context, event string, position uint64) (gateways.ShownAnswer, error) {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
	defer cancel()
	return d.cfg.Gateways.Shown(asking, event, position)
}
