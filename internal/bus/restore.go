package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// RestoringMetadata is the member of a stream's metadata that it has until all that is restored is back: a value of this restore alone. Nobody of ours uses such a stream, and a restore may begin it anew.
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
	_, err := b.markLeft(ctx, name)
	return err
}

// Restore is BringBack and Settle of one stream.
func (b *Bus) Restore(ctx context.Context, r Restore, data io.Reader) error {
	back, err := b.BringBack(ctx, r, data)
	if err == nil {
		err = b.Settle(ctx, back)
	}
	if err != nil && back != nil {
		err = errors.Join(err, b.DropRestored(context.WithoutCancel(ctx), back))
	}
	return err
}

// BringBack brings a stream back that isn't there, with its messages at their positions and its durable consumers. It is marked, loses nothing by age, and is used by nobody until [Bus.Settle]. Whatever an earlier restore that didn't end
// has left is deleted first; after an error so is what this one has made, and nothing else. NATS keeps no name free while a restore sends: who makes a stream of that name meanwhile keeps it, and the restore fails.
func (b *Bus) BringBack(ctx context.Context, r Restore, data io.Reader) (back *Restored, err error) {
	left, err := b.markLeft(ctx, r.Stream)
	if err == nil && left != "" {
		err = b.deleteMarked(ctx, r.Stream, left)
	}
	if err != nil {
		return nil, err
	}
	back = &Restored{restore: r, mark: time.Now().UTC().Format(time.RFC3339) + "/" + rand.Text()}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.DropRestored(context.WithoutCancel(ctx), back))
			back = nil
		}
	}()
	first, err := b.restoring(r, back.mark)
	if err != nil {
		return back, fmt.Errorf("restore stream %s: %w", r.Stream, err)
	}
	if err := b.RestoreStream(ctx, r.Stream, first, data); err != nil {
		return back, err
	}
	if err := b.verifyRestored(ctx, back); err != nil {
		return back, fmt.Errorf("restore stream %s: %w", r.Stream, err)
	}
	return back, nil
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

// restoring returns the snapshot with the settings that a stream has while it is restored.
func (b *Bus) restoring(r Restore, mark string) (StreamSnapshot, error) {
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
	metadata[RestoringMetadata] = mark
	if r.Stream == LedgerStream {
		metadata[WholeSinceMetadata] = time.Now().UTC().Format(time.RFC3339) // for replicas that follow it already
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
func (b *Bus) verifyRestored(ctx context.Context, back *Restored) error {
	r := back.restore
	want, err := r.Snapshot.Read()
	if err != nil {
		return err
	}
	stream, err := b.js.Stream(ctx, r.Stream)
	if err != nil {
		return err
	}
	if markOf(stream) != back.mark {
		return errNotOurs
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
