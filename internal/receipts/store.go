package receipts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/signing"
)

// ErrNone is returned by Find where no receipt is kept.
var ErrNone = errors.New("no receipt is kept of that event")

// errDamaged is of an entry of the bucket that holds no receipt of ours.
var errDamaged = errors.New("what is kept isn't a receipt that we have signed")

const (
	// keepAtOnce is for how long who waits for a receipt waits for its being kept too, and keepTogether how many of one call are kept at once.
	keepAtOnce   = 250 * time.Millisecond
	keepTogether = 16
	// largeNames is how many replicas a receipt names for whose being kept nobody waits: to sign it takes a millisecond, a third of what it takes to hear a thousand. fewBehind is how many of those
	// may be in the queue: each takes 150 KB.
	largeNames = 250
	fewBehind  = 16
	// keepTries is how often a receipt is tried to be kept in the place of another that others replace as well.
	keepTries = 5
	// keepTimeout is for how long a receipt is tried to be kept.
	keepTimeout = 5 * time.Second
	// lastKeep is what those that wait have when the desk ends.
	lastKeep = 2 * time.Second
)

// Kept is a receipt that was kept.
type Kept struct {
	Receipt
	// Token is the signed form (package signing), whose payload is Receipt as JSON.
	Token string
	// Entry numbers receipts in the order in which they were kept.
	Entry uint64
}

// Keep has the receipts signed and kept, for 90 days, each in the place of an earlier one of the same event that doesn't say more. It waits for that a moment, so that whoever asks next finds them, and where
// that isn't enough they are kept later. One that names hundreds of replicas is kept later by Run in any case, unless many are; Find of the same desk waits for it. Keep doesn't fail: a receipt that is lost is
// counted and logged.
func (d *Desk) Keep(ctx context.Context, list ...Receipt) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepAtOnce)
	defer cancel()
	places := make(chan struct{}, keepTogether)
	var work sync.WaitGroup
	for _, r := range list {
		if len(r.Replicas.Named) > largeNames && len(d.queue) < fewBehind {
			d.keepLater(r)
			continue
		}
		places <- struct{}{}
		work.Go(func() {
			defer func() { <-places }()
			if d.put(ctx, r) != nil {
				d.keepLater(r)
			}
		})
	}
	work.Wait()
}

func (d *Desk) keepLater(r Receipt) {
	d.mu.Lock()
	entry := entryOf(r.Tenant, r.Event)
	if d.behind[entry] == nil {
		d.behind[entry] = make(chan struct{})
	}
	d.mu.Unlock()
	select {
	case d.queue <- r:
	default:
		d.settled(r)
		d.lost(r, errors.New("too many wait to be kept"))
	}
}

// settled has those go on who wait for the receipt's being kept.
func (d *Desk) settled(r Receipt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	entry := entryOf(r.Tenant, r.Event)
	if done := d.behind[entry]; done != nil {
		close(done)
		delete(d.behind, entry)
	}
}

// settle waits a moment for a receipt in the queue.
func (d *Desk) settle(ctx context.Context, entry string) {
	d.mu.Lock()
	done := d.behind[entry]
	d.mu.Unlock()
	if done == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keepAtOnce)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

func (d *Desk) lost(r Receipt, err error) {
	d.cfg.Lost()
	d.cfg.Log.WithError(err).WithField("event_id", r.Event).Warn("a receipt wasn't kept: curfew receipt show makes another")
}

// Run keeps receipts that couldn't be kept at once until ctx ends, and then those that wait.
func (d *Desk) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			d.keepLast(context.WithoutCancel(ctx))
			return nil
		case r := <-d.queue:
			// An end of ctx calls nothing off that is under way.
			d.keep(context.WithoutCancel(ctx), r)
		}
	}
}

func (d *Desk) keepLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastKeep)
	defer cancel()
	for {
		select {
		case r := <-d.queue:
			d.keep(ctx, r)
		default:
			return
		}
	}
}

func (d *Desk) keep(ctx context.Context, r Receipt) {
	defer d.settled(r)
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	if err := d.put(ctx, r); err != nil {
		d.lost(r, err)
	}
}

// put keeps the receipt, unless the one that is kept says more.
func (d *Desk) put(ctx context.Context, r Receipt) error {
	token, err := d.Sign(r)
	if err != nil {
		return err
	}
	entry := entryOf(r.Tenant, r.Event)
	_, err = d.cfg.Bucket.Create(ctx, entry, []byte(token))
	for tries := 0; errors.Is(err, jetstream.ErrKeyExists) && tries < keepTries; tries++ {
		var kept jetstream.KeyValueEntry
		if kept, err = d.cfg.Bucket.Get(ctx, entry); err != nil {
			return err
		}
		if old, err := d.parse(kept.Value(), kept.Revision()); err == nil && r.SaysLess(old.Receipt) {
			return nil
		}
		// Somebody may have kept another meanwhile, which is looked at again.
		if _, err = d.cfg.Bucket.Update(ctx, entry, []byte(token), kept.Revision()); errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			err = jetstream.ErrKeyExists
		}
	}
	return err
}

func entryOf(tenant, event string) string { return tenant + "." + event }

// Sign returns the signed form.
func (d *Desk) Sign(r Receipt) (token string, err error) {
	payload, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("sign a receipt: %w", err)
	}
	return d.cfg.Keys.Sign(Type, payload)
}

// Keys returns the keys with which receipts are signed.
func (d *Desk) Keys() *signing.Keys { return d.cfg.Keys }

// Find returns the receipt that is kept of an event of a tenant. It returns ErrNone, and what NATS says.
func (d *Desk) Find(ctx context.Context, tenant, event string) (Kept, error) {
	entry := entryOf(tenant, event)
	d.settle(ctx, entry)
	e, err := d.cfg.Bucket.Get(ctx, entry)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrInvalidKey):
		return Kept{}, ErrNone
	case err != nil:
		return Kept{}, fmt.Errorf("read a receipt: %w", err)
	}
	return d.parse(e.Value(), e.Revision())
}

// parse reads what is kept. What somebody else has put there is none of ours.
func (d *Desk) parse(data []byte, entry uint64) (Kept, error) {
	payload, _, err := signing.Verify(d.cfg.Keys.Public(), Type, string(data))
	if err != nil {
		return Kept{}, fmt.Errorf("%w: %w", errDamaged, err)
	}
	k := Kept{Token: string(data), Entry: entry}
	if err := json.Unmarshal(payload, &k.Receipt); err != nil {
		return Kept{}, errDamaged
	}
	return k, nil
}

// List returns the receipts of a tenant that were kept last, the newest first, at most n, before an entry unless that is 0. Damaged ones are left out.
func (d *Desk) List(ctx context.Context, tenant string, before uint64, n int) ([]Kept, error) {
	list := []Kept{}
	topics := []string{"$KV." + d.cfg.Bucket.Bucket() + "." + tenant + ".*"}
	err := d.cfg.Kept.ReadBack(ctx, ledger.Range{Topics: topics, Before: before}, func(e ledger.Entry) bool { return len(e.Data) > 0 }, func(e ledger.Entry) error {
		if k, err := d.parse(e.Data, e.Position); err == nil {
			list = append(list, k)
		}
		if len(list) >= n {
			return ledger.ErrStop
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list receipts: %w", err)
	}
	return list, nil
}
