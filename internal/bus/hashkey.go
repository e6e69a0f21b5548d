package bus

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
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
	// hashKeyTimeout bounds the attempt to give an existing ledger a key: a request that the user has no right to is never answered.
	hashKeyTimeout = 2 * time.Second
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

// withHashKey returns the settings with a key in their metadata, as a new ledger gets it.
func withHashKey(spec jetstream.StreamConfig, key string) jetstream.StreamConfig {
	metadata := maps.Clone(spec.Metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata[HashKeyMetadata] = key
	spec.Metadata = metadata
	return spec
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
	if b.embedded == nil {
		bounded, cancel := context.WithTimeout(ctx, hashKeyTimeout)
		defer cancel()
		ctx = bounded
	}
	after, err := b.giveHashKey(ctx, got)
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
	key, err := b.agreeOnHashKey(ctx)
	if err != nil {
		return got, err
	}
	stream, err := b.js.UpdateStream(ctx, withHashKey(got, key))
	if err != nil {
		return got, err
	}
	return stream.CachedInfo().Config, nil
}

// agreeOnHashKey returns the key that the first process has put into the bucket.
func (b *Bus) agreeOnHashKey(ctx context.Context) (string, error) {
	kv, err := b.KeyValue(ctx, SecretsBucket())
	if err != nil {
		return "", err
	}
	fresh := newHashKey()
	_, err = kv.Create(ctx, hashKeyEntry, []byte(fresh))
	switch {
	case err == nil:
		return fresh, nil
	case !errors.Is(err, jetstream.ErrKeyExists):
		return "", err
	}
	entry, err := kv.Get(ctx, hashKeyEntry)
	if err != nil {
		return "", err
	}
	if key := string(entry.Value()); validHashKey(key) {
		return key, nil
	}
	return "", fmt.Errorf("entry %s of bucket %s isn't a key: purge it", hashKeyEntry, SecretsBucket().Name)
}
