package lease

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// register holds one entry.
type register interface {
	// read returns the entry, or the zero entry if there is none. It may be an old one.
	read(ctx context.Context) (entry, error)
	// write replaces the entry if its revision is after, or makes one if that is 0 and there is none, and returns the new one's revision. errConflict
	// means that it was another; after any other error it may have been written or not.
	write(ctx context.Context, value []byte, after uint64) (revision uint64, err error)
	// hints tells that the entry may have changed; or it doesn't.
	hints() <-chan struct{}
}

var errConflict = errors.New("the entry is another")

// entry is what a register holds.
type entry struct {
	// revision is 0 for no entry.
	revision uint64
	created  time.Time
	value    []byte
}

// equal reports whether nobody has written in between. A bucket that was put back to an earlier state gives revisions out anew, but no value twice.
func (e entry) equal(other entry) bool {
	return e.revision == other.revision && e.created.Equal(other.created) && bytes.Equal(e.value, other.value)
}

// value is what an entry says.
type value struct {
	// ID is the holder's own, and empty once it has released the lease.
	ID string `json:"id"`
	// Holder is for people.
	Holder    string `json:"holder,omitempty"`
	TTLMillis int64  `json:"ttl_ms"`
	// Writes counts the writes of this holder.
	Writes uint64 `json:"writes"`
}

func (v value) bytes() []byte {
	b, _ := json.Marshal(v) // can't fail
	return b
}

// parse reports whether b is a value.
func parse(b []byte) (v value, ok bool) {
	err := json.Unmarshal(b, &v)
	return v, err == nil && v.TTLMillis >= 0 && (v.ID == "" || v.TTLMillis > 0)
}

// bucket is the register in a JetStream bucket.
type bucket struct {
	kv     jetstream.KeyValue
	key    string
	sub    *nats.Subscription
	writes chan struct{}
}

// openBucket also listens to what others write to the entry. What is heard may not be stored yet, or never; but to listen costs nothing, and goes on
// by itself after the connection was lost.
func openBucket(nc *nats.Conn, kv jetstream.KeyValue, key string) (*bucket, error) {
	b := &bucket{kv: kv, key: key, writes: make(chan struct{}, 1)}
	var err error
	b.sub, err = nc.Subscribe("$KV."+kv.Bucket()+"."+key, func(*nats.Msg) {
		select {
		case b.writes <- struct{}{}:
		default:
		}
	})
	return b, err
}

// close never fails: without a connection there is nothing to end.
func (b *bucket) close() { _ = b.sub.Unsubscribe() }

func (b *bucket) hints() <-chan struct{} { return b.writes }

func (b *bucket) read(ctx context.Context) (entry, error) {
	e, err := b.kv.Get(ctx, b.key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return entry{}, nil
	case err != nil:
		return entry{}, fmt.Errorf("read %s of bucket %s: %w", b.key, b.kv.Bucket(), err)
	}
	return entry{revision: e.Revision(), created: e.Created(), value: e.Value()}, nil
}

func (b *bucket) write(ctx context.Context, value []byte, after uint64) (revision uint64, err error) {
	if after == 0 {
		// Also where somebody has deleted it.
		revision, err = b.kv.Create(ctx, b.key, value)
	} else {
		revision, err = b.kv.Update(ctx, b.key, value, after)
	}
	switch {
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return 0, errConflict
	case err != nil:
		return 0, fmt.Errorf("write %s of bucket %s: %w", b.key, b.kv.Bucket(), err)
	}
	return revision, nil
}
