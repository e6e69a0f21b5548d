package bus

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// HashKeyMetadata is the member of the ledger's metadata that holds the deployment's key of fingerprints: 16 random bytes in hexadecimal.
// Replicas read it from there, so that the snapshot of one serves another. It isn't a secret of the kind that lets somebody in: it keeps
// whoever may choose user ids from choosing ones that crowd together in a replica's memory.
const HashKeyMetadata = "curfew-hash-key"

const (
	hashKeyBytes = 16
	// hashKeyEntry is where processes that find a ledger without a key agree on one.
	hashKeyEntry = "hash-key"
)

func newHashKey() string {
	key := make([]byte, hashKeyBytes)
	_, _ = rand.Read(key) // never fails
	return hex.EncodeToString(key)
}

// validHashKey reports whether a replica would use the key.
func validHashKey(key string) bool {
	b, err := hex.DecodeString(key)
	return err == nil && len(b) == hashKeyBytes
}

// firstHashKey returns the key that a new ledger is made with: the one that the deployment has agreed on, for running replicas and snapshots of a ledger
// that was there before have it too. Where it can't be asked for, the key is a fresh one; the error is that of a cluster that hasn't formed yet.
//
//  1. the ledger is deleted; 2. a process makes it anew, with another key; 3. replicas that run keep theirs for life; 4. nobody can begin from a
//     snapshot that one of them saves.
//
// agreed is when that key was agreed on; zero for a fresh one.
func (b *Bus) firstHashKey(ctx context.Context) (key string, agreed time.Time, err error) {
	ctx, cancel := b.boundedOutside(ctx)
	defer cancel()
	key, agreed, err = b.agreeOnHashKey(ctx)
	if forming(err) {
		return "", time.Time{}, err
	}
	if err != nil {
		b.cfg.Log.WithError(err).Info("the ledger is made with a key of fingerprints of its own: replicas of an earlier ledger can't share snapshots with others until they restart")
		return newHashKey(), time.Time{}, nil
	}
	return key, agreed, nil
}

// boundedOutside bounds what is asked of an external server, which never answers a request that the user has no right to.
func (b *Bus) boundedOutside(ctx context.Context) (context.Context, context.CancelFunc) {
	if b.embedded != nil {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, metadataTimeout)
}

// ensureHashKey gives a ledger that has no key one, and returns the ledger's settings afterwards. On an external server it tries once and
// goes on without: replicas then make keys of their own, and can't use each other's snapshots. A key that is there is never changed.
//
// An update replaces what is there and can't be made to depend on it, so two processes that start at once would each write a key of their own:
//
//  1. A and B find no key; 2. A writes its key; 3. a replica begins with it; 4. B writes its own.
//
// So they agree on one first, in a bucket whose entries are created once.
func (b *Bus) ensureHashKey(ctx context.Context, got jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	if got.Name != LedgerStream || validHashKey(got.Metadata[HashKeyMetadata]) {
		return got, nil
	}
	bounded, cancel := b.boundedOutside(ctx)
	defer cancel()
	after, err := b.giveHashKey(bounded, got)
	if err == nil {
		return after, nil
	}
	if b.embedded != nil {
		return got, streamError("give the ledger a key of fingerprints", err)
	}
	b.cfg.Log.WithError(err).Info("the ledger has no key of fingerprints, and this process may not give it one: replicas can't use each other's snapshots")
	return got, nil
}

func (b *Bus) giveHashKey(ctx context.Context, got jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	key, _, err := b.agreeOnHashKey(ctx)
	if err != nil {
		return got, err
	}
	stream, err := b.js.UpdateStream(ctx, withMetadata(got, HashKeyMetadata, key))
	if err != nil {
		return got, err
	}
	return stream.CachedInfo().Config, nil
}

// agreeOnHashKey returns the key that the first process has put into the bucket, and when it did; zero if that was this one.
func (b *Bus) agreeOnHashKey(ctx context.Context) (key string, agreed time.Time, err error) {
	kv, err := b.KeyValue(ctx, SecretsBucket())
	if err != nil {
		return "", time.Time{}, err
	}
	fresh := newHashKey()
	_, err = kv.Create(ctx, hashKeyEntry, []byte(fresh))
	switch {
	case err == nil:
		return fresh, time.Time{}, nil
	case !errors.Is(err, jetstream.ErrKeyExists):
		return "", time.Time{}, err
	}
	entry, err := kv.Get(ctx, hashKeyEntry)
	if err != nil {
		return "", time.Time{}, err
	}
	if key := string(entry.Value()); validHashKey(key) {
		return key, entry.Created(), nil
	}
	return "", time.Time{}, fmt.Errorf("entry %s of bucket %s isn't a key: purge it", hashKeyEntry, SecretsBucket().Name)
}
