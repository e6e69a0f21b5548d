package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// RestoringMetadata is the member of a stream's metadata that it has until all of it is back. Nobody of ours uses such a stream, and a restore may begin it anew.
const RestoringMetadata = "curfew-restoring"

// Restore is a stream to bring back.
type Restore struct {
	Stream   string
	Snapshot StreamSnapshot
	// Events is how many events of the ledger must be there afterwards at least; zero if that isn't known.
	Events uint64
	// Lost says that what the ledger has stored since the snapshot is gone. Then it is whole only since now, as one is that was made anew (ADR 0034).
	Lost bool
}

// FreeToRestore returns nil if a stream isn't there, or was left by a restore that didn't end, and ErrExists otherwise.
func (b *Bus) FreeToRestore(ctx context.Context, name string) error {
	stream, err := b.js.Stream(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil
	case err != nil:
		return streamError("look at stream "+name, err)
	case stream.CachedInfo().Config.Metadata[RestoringMetadata] != "":
		return nil
	}
	state := stream.CachedInfo().State
	return fmt.Errorf("%s: %w, with %d messages up to position %d", name, ErrExists, state.Msgs, state.LastSeq)
}

// Restore brings a stream back that isn't there, with its messages at their positions and its durable consumers. It takes its name at once, is marked until all of it is verified, and loses nothing by age before that. Whatever an earlier
// restore that didn't end has left is deleted first; after an error so is what this one has made.
func (b *Bus) Restore(ctx context.Context, r Restore, data io.Reader) (err error) {
	if err := b.FreeToRestore(ctx, r.Stream); err != nil {
		return err
	}
	if err := b.deleteStream(ctx, r.Stream); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), snapshotSilence)
			defer cancel()
			err = errors.Join(err, b.deleteStream(deleting, r.Stream))
		}
	}()
	first, err := b.restoring(r)
	if err != nil {
		return fmt.Errorf("restore stream %s: %w", r.Stream, err)
	}
	if err := b.RestoreStream(ctx, r.Stream, first, data); err != nil {
		return err
	}
	if err := b.verifyRestored(ctx, r); err != nil {
		return fmt.Errorf("restore stream %s: %w", r.Stream, err)
	}
	return b.settleRestored(ctx, r)
}

// Clear deletes every stream of an embedded server that nobody uses, as a restore leaves one that was killed. It is refused for an external one.
func (b *Bus) Clear(ctx context.Context) error {
	if b.embedded == nil {
		return errors.New("clear: an external server's streams are never deleted")
	}
	names := b.js.StreamNames(ctx)
	for name := range names.Name() {
		if err := b.deleteStream(ctx, name); err != nil {
			return err
		}
	}
	return names.Err()
}

// DropRestored deletes a stream that was restored, with others that couldn't be.
func (b *Bus) DropRestored(ctx context.Context, name string) error { return b.deleteStream(ctx, name) }

func (b *Bus) deleteStream(ctx context.Context, name string) error {
	if err := b.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return streamError("delete what is restored of "+name, err)
	}
	return nil
}

// restoring returns the snapshot with the settings that a stream has while it is restored.
func (b *Bus) restoring(r Restore) (StreamSnapshot, error) {
	var settings map[string]json.RawMessage
	metadata := map[string]string{}
	err := json.Unmarshal(r.Snapshot.Config, &settings)
	if err == nil && settings["metadata"] != nil {
		err = json.Unmarshal(settings["metadata"], &metadata)
	}
	if err != nil {
		return StreamSnapshot{}, fmt.Errorf("read its settings: %w", err)
	}
	if metadata == nil {
		metadata = map[string]string{}
	}
	now := time.Now().UTC().Format(time.RFC3339)
	metadata[RestoringMetadata] = now
	if r.Stream == LedgerStream {
		metadata[WholeSinceMetadata] = now // for replicas that follow it already
	}
	if settings["metadata"], err = json.Marshal(metadata); err != nil {
		return StreamSnapshot{}, err
	}
	settings["max_age"] = json.RawMessage("0")
	settings["num_replicas"] = json.RawMessage(strconv.Itoa(b.cfg.Replicas))
	config, err := json.Marshal(settings)
	return StreamSnapshot{Config: config, State: r.Snapshot.State}, err
}

// verifyRestored compares a stream with what its snapshot tells. Messages that had a time to live may have expired meanwhile, so that there may be fewer than there were; events have none.
func (b *Bus) verifyRestored(ctx context.Context, r Restore) error {
	want, err := r.Snapshot.Read()
	if err != nil {
		return err
	}
	stream, err := b.js.Stream(ctx, r.Stream)
	if err != nil {
		return err
	}
	got := stream.CachedInfo().State
	if got.LastSeq != want.Last || got.Msgs > want.Messages {
		return fmt.Errorf("%w: it has %d messages up to position %d, and had %d up to %d", ErrNotWhole, got.Msgs, got.LastSeq, want.Messages, want.Last)
	}
	if r.Stream != LedgerStream || r.Events == 0 {
		return nil
	}
	n, _, err := b.EventsUpTo(ctx, want.Last)
	if err == nil && n < r.Events {
		err = fmt.Errorf("%w: it has %d events, and had %d", ErrNotWhole, n, r.Events)
	}
	return err
}

// settleRestored gives a stream the settings that it had, and forgets the consumers of processes that are gone.
func (b *Bus) settleRestored(ctx context.Context, r Restore) error {
	var was jetstream.StreamConfig
	if err := json.Unmarshal(r.Snapshot.Config, &was); err != nil {
		return fmt.Errorf("restore stream %s: read its settings: %w", r.Stream, err)
	}
	stream, err := b.js.Stream(ctx, r.Stream)
	if err != nil {
		return streamError("restore stream "+r.Stream, err)
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
	return nil
}
