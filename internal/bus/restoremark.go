package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Restored is a stream that is back and verified, and marked until [Bus.Settle].
type Restored struct {
	restore Restore
	// mark is what RestoringMetadata is of this restore's stream alone.
	mark    string
	settled bool
}

// errNotOurs is returned where another restore, or somebody else, has made a stream of the name.
var errNotOurs = errors.New("another one has its name by now: two restores at once? Wait until the other is done, and look at what is there with 'curfew doctor'")

func markOf(stream jetstream.Stream) string {
	return stream.CachedInfo().Config.Metadata[RestoringMetadata]
}

// markLeft returns the mark of a stream that a restore has left, nothing if there is no stream, and ErrExists for one without a mark.
func (b *Bus) markLeft(ctx context.Context, name string) (mark string, err error) {
	stream, err := b.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return "", nil
	}
	if err != nil {
		return "", streamError("look at stream "+name, err)
	}
	if mark = markOf(stream); mark != "" {
		return mark, nil
	}
	state := stream.CachedInfo().State
	return "", fmt.Errorf("%s: %w, with %d messages up to position %d", name, ErrExists, state.Msgs, state.LastSeq)
}

// Settle takes the marks off streams that were brought back, once all of them are there: that of the ledger last, since nobody of ours begins without it. After an error the caller drops them.
func (b *Bus) Settle(ctx context.Context, all ...*Restored) error {
	for _, back := range all {
		if _, err := b.own(ctx, back); err != nil {
			return err
		}
	}
	for _, back := range ledgerLast(all) {
		if err := b.settle(ctx, back); err != nil {
			return err
		}
	}
	return nil
}

// own returns the stream that bears a restore's mark, or errNotOurs.
func (b *Bus) own(ctx context.Context, back *Restored) (jetstream.Stream, error) {
	op := "restore stream " + back.restore.Stream
	stream, err := b.js.Stream(ctx, back.restore.Stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound), err == nil && markOf(stream) != back.mark:
		return nil, fmt.Errorf("%s: %w", op, errNotOurs)
	case err != nil:
		return nil, streamError(op, err)
	}
	return stream, nil
}

// settle gives a stream the settings that it had, and forgets the consumers of processes that are gone.
func (b *Bus) settle(ctx context.Context, back *Restored) error {
	r := back.restore
	var was jetstream.StreamConfig
	if err := json.Unmarshal(r.Snapshot.Config, &was); err != nil {
		return fmt.Errorf("restore stream %s: read its settings: %w", r.Stream, err)
	}
	stream, err := b.own(ctx, back)
	if err != nil {
		return err
	}
	for info := range stream.ListConsumers(ctx).Info() {
		if info.Config.Durable == "" {
			_ = stream.DeleteConsumer(ctx, info.Name) // the server forgets it soon
		}
	}
	want := stream.CachedInfo().Config
	want.MaxAge, want.Metadata = was.MaxAge, maps.Clone(was.Metadata)
	delete(want.Metadata, RestoringMetadata)
	if r.Lost && r.Stream == LedgerStream {
		// As firstLedger does, so that who signs in from now on isn't refused.
		want = withMetadata(want, WholeSinceMetadata, time.Now().Add(-leeway).UTC().Format(time.RFC3339))
	}
	if _, err := b.js.UpdateStream(ctx, want); err != nil {
		return streamError("restore stream "+r.Stream, err)
	}
	back.settled = true
	return nil
}

// DropRestored deletes what of some streams bears this restore's mark. Those that have lost it already go as well, while the ledger among them has it: until then nobody of ours has begun to use them.
func (b *Bus) DropRestored(ctx context.Context, all ...*Restored) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotSilence)
	defer cancel()
	unused := false
	for _, back := range all {
		if back.restore.Stream == LedgerStream {
			_, err := b.own(ctx, back)
			unused = err == nil
		}
	}
	var failed []error
	for _, back := range ledgerLast(all) {
		switch {
		case !back.settled:
			failed = append(failed, b.deleteMarked(ctx, back.restore.Stream, back.mark))
		case unused:
			failed = append(failed, b.deleteStream(ctx, back.restore.Stream))
		}
	}
	return errors.Join(failed...)
}

// ledgerLast returns streams in their order, but the ledger behind the others.
func ledgerLast(all []*Restored) []*Restored {
	sorted := slices.Clone(all)
	last := func(back *Restored) int {
		if back.restore.Stream == LedgerStream {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(sorted, func(x, y *Restored) int { return last(x) - last(y) })
	return sorted
}

// deleteMarked deletes a stream that bears a mark, and leaves any other alone. It looks right before, for NATS deletes by name alone.
func (b *Bus) deleteMarked(ctx context.Context, name, mark string) error {
	stream, err := b.js.Stream(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil
	case err != nil:
		return streamError("look at what is restored of "+name, err)
	case markOf(stream) != mark:
		return nil
	}
	return b.deleteStream(ctx, name)
}

func (b *Bus) deleteStream(ctx context.Context, name string) error {
	if err := b.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return streamError("delete what is restored of "+name, err)
	}
	return nil
}
