package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// SnapshotsBucket is the object store for the replicas' snapshots.
const SnapshotsBucket = "CURFEW_SNAPSHOTS"

// objectStream begins the name of the stream that an object store is made of.
const objectStream = "OBJ_"

// SnapshotsSpec is what the object store for snapshots should be. It holds two snapshots, of 18 bytes for a live revocation, and
// for some minutes what processes have left that were killed while they saved one.
func SnapshotsSpec(cfg Config) jetstream.ObjectStoreConfig {
	cfg = cfg.withDefaults()
	return jetstream.ObjectStoreConfig{
		Bucket:      SnapshotsBucket,
		Description: "Curfew's snapshots of replicas, to start from",
		Storage:     jetstream.FileStorage,
		MaxBytes:    maxBytes(cfg, 0, defaultSnapshotsBytes, 8),
		Replicas:    cfg.Replicas,
	}
}

// EnsureSnapshots creates the object store for snapshots if it is missing. One that is there is left alone (see [Bus.Differences]). Safe to call from several
// processes at once.
func (b *Bus) EnsureSnapshots(ctx context.Context) error {
	return b.onceFormed(ctx, b.ensureSnapshots)
}

func (b *Bus) ensureSnapshots(ctx context.Context) error {
	_, err := b.js.ObjectStore(ctx, SnapshotsBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		_, err = b.js.CreateObjectStore(ctx, SnapshotsSpec(b.cfg))
		if errors.Is(err, jetstream.ErrBucketExists) {
			// Another process was faster.
			return nil
		}
	}
	if err != nil {
		return streamError("open the object store "+SnapshotsBucket, err)
	}
	return nil
}

// compareSnapshots lists in which settings the object store's stream differs. Nothing of it breaks a promise: without a snapshot replicas start slowly.
func compareSnapshots(got jetstream.StreamConfig, want jetstream.ObjectStoreConfig) []Difference {
	c := &comparison{stream: objectStream + want.Bucket}
	c.same("storage", got.Storage, want.Storage, "")
	c.same("replicas", got.Replicas, want.Replicas, "")
	c.same("max age", age(got.MaxAge), age(0), "")
	c.same("discard policy", got.Discard, jetstream.DiscardNew, "")
	c.same("roll-ups allowed", got.AllowRollup, true, "")
	c.same("deny purge", got.DenyPurge, false, "")
	c.same("sealed", got.Sealed, false, "")
	return c.found
}
