package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bucket describes a key-value bucket.
type Bucket struct {
	// Name of the bucket: letters, digits, dash and underscore.
	Name string
	// TTL after which an entry goes away unless it is written again. Zero means never.
	TTL time.Duration
	// History is how many values of a key are kept. Zero means 1; at most 64.
	History uint8
	// MaxBytes of the bucket, after which writing fails. Zero means no limit of its own; for a loose one it means 1 GiB, or on the embedded server a sixteenth of the free disk where
	// that is less when the bucket is made.
	MaxBytes int64
	// MarkerTTL, at least 1 s, allows a TTL per key (jetstream.KeyTTL) and is how long a watcher can see that a key expired.
	// Zero means no TTLs per key.
	MarkerTTL time.Duration
	// Memory keeps a new bucket in memory, where writing to it costs no disk's time, and where what it holds is lost when all servers that keep it end: Kept tells.
	// One that is there already stays as it is.
	Memory bool
	// Loose has a new bucket of one replica acknowledge a write before it is on the disk, whatever Embedded.SyncInterval says: what was written in the last moments
	// before a crash of the machine, though not of the process, may be lost. Whoever reads an entry of a loose bucket gets what was acknowledged last: replicas don't
	// answer for their leader. One that is there already stays as it is.
	Loose bool
	// Description is for operators.
	Description string
}

// KeysBucket holds the API keys, hashed. Its history tells an operator what became of a key.
func KeysBucket() Bucket {
	return Bucket{Name: "CURFEW_KEYS", History: 5, Description: "API keys, hashed"}
}

// SecretsBucket holds the deployment's secret, and the keys with which it signs.
func SecretsBucket() Bucket {
	return Bucket{Name: "CURFEW_SECRETS", Description: "the deployment's secret, and the keys with which it signs"}
}

// TicketsBucket holds the ids of used tickets, for twice as long as a ticket can be used. Thousands of tabs may come back in a second, and each uses one: on a disk
// that is written to before each answer, they would wait for minutes.
func TicketsBucket() Bucket {
	return Bucket{Name: "CURFEW_TICKETS", TTL: 2 * time.Minute, MaxBytes: 256 << 20, Memory: true, Description: "ids of used tickets"}
}

// LeasesBucket holds what one process of several is elected to do. Its entries need no TTL: who contends for one counts for himself.
func LeasesBucket() Bucket {
	return Bucket{Name: "CURFEW_LEASES", Description: "what one process of several is elected to do"}
}

// GatewaysBucket holds who is a gateway. An entry that isn't renewed goes away, by the server's clock. It is kept in a file like the others: after a restart of
// the server it still says whose answers would be missing, which a bucket in memory would not.
func GatewaysBucket() Bucket {
	return Bucket{Name: "CURFEW_GATEWAYS", TTL: 15 * time.Second, Description: "gateways that are there"}
}

// SessionsBucket holds the registry of sessions. Thousands of touches may come at once, and none of them is worth a disk's time of its own; the ends of sessions
// are in the ledger.
func SessionsBucket() Bucket {
	return Bucket{Name: "CURFEW_SESSIONS", MarkerTTL: time.Minute, Loose: true, Description: "sessions that people can see and end"}
}

// SettingsBucket holds since when settings hold that sessions have to be told of.
func SettingsBucket() Bucket {
	return Bucket{Name: "CURFEW_SETTINGS", Description: "since when settings hold"}
}

// ReceiptsBucket holds receipts for 90 days. One that a crash of the machine takes can be made anew as long as the replicas are there that it tells of.
func ReceiptsBucket() Bucket {
	return Bucket{Name: "CURFEW_RECEIPTS", TTL: 90 * 24 * time.Hour, Loose: true, Description: "whom revocations have reached"}
}

// ReplaysBucket holds what was replayed, on whose order and how far it came: each record for 91 days after it was written last, so that it can be shown for 90.
func ReplaysBucket() Bucket {
	return Bucket{Name: "CURFEW_REPLAYS", TTL: 91 * 24 * time.Hour, Description: "replays: who asked for them, how far they are, and how they ended"}
}

// ConsoleBucket holds which sessions of the console were signed out, for longer than one can last: what is copied of a cookie is over with it, at every process.
func ConsoleBucket() Bucket {
	return Bucket{Name: "CURFEW_CONSOLE", TTL: 25 * time.Hour, MaxBytes: 16 << 20, Description: "sessions of the console that were signed out"}
}

// ApprovalsBucket holds revocations that wait for a second person's approval, and what became of them, for an hour after it.
func ApprovalsBucket() Bucket {
	return Bucket{Name: "CURFEW_APPROVALS", TTL: time.Hour, Description: "revocations that a second person approves"}
}

// buckets are all of ours. A process opens those that its roles need.
func buckets() []Bucket {
	return []Bucket{KeysBucket(), SecretsBucket(), TicketsBucket(), LeasesBucket(), GatewaysBucket(), SessionsBucket(), SettingsBucket(), ReceiptsBucket(), ReplaysBucket(), ConsoleBucket(), ApprovalsBucket()}
}

// KeyValue opens a bucket, and creates it if it is missing. An existing one whose TTL, history, size or marker TTL differ is
// changed to what is asked for. It has the replicas of Config.
func (b *Bus) KeyValue(ctx context.Context, bucket Bucket) (kv jetstream.KeyValue, err error) {
	err = b.onceFormed(ctx, func(ctx context.Context) error {
		kv, err = b.keyValue(ctx, bucket)
		return err
	})
	return kv, err
}

func (b *Bus) keyValue(ctx context.Context, bucket Bucket) (jetstream.KeyValue, error) {
	op := "open bucket " + bucket.Name
	want := b.bucketConfig(bucket)
	kv, err := b.js.KeyValue(ctx, bucket.Name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = b.createBucket(ctx, bucket)
		if errors.Is(err, jetstream.ErrBucketExists) || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			// Another process was faster, with other settings.
			kv, err = b.js.KeyValue(ctx, bucket.Name)
		}
	}
	if err != nil {
		return nil, streamError(op, err)
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return nil, streamError(op, err)
	}
	got := status.Config()
	if bucket.Loose && bucket.MaxBytes == 0 {
		got.MaxBytes = want.MaxBytes // as it was made
	}
	if sameBucket(got, want) {
		return kv, nil
	}
	if kv, err = b.updateBucket(ctx, bucket); err != nil {
		return nil, streamError(op, err)
	}
	return kv, nil
}

// updateBucket gives a bucket the settings that it should have. How a loose one is written can't be changed, so it is changed as the stream that it is.
func (b *Bus) updateBucket(ctx context.Context, bucket Bucket) (jetstream.KeyValue, error) {
	want := b.bucketConfig(bucket)
	if !bucket.Loose {
		return b.js.UpdateKeyValue(ctx, want)
	}
	stream, err := b.js.Stream(ctx, "KV_"+want.Bucket)
	if err != nil {
		return nil, err
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxAge, cfg.MaxMsgsPerSubject = want.TTL, int64(want.History)
	if bucket.MaxBytes > 0 {
		cfg.MaxBytes = bucket.MaxBytes
	}
	cfg.AllowMsgTTL, cfg.SubjectDeleteMarkerTTL = cfg.AllowMsgTTL || want.LimitMarkerTTL > 0, want.LimitMarkerTTL
	if _, err := b.js.UpdateStream(ctx, cfg); err != nil {
		return nil, err
	}
	return b.js.KeyValue(ctx, want.Bucket)
}

// What a loose bucket takes, so that it leaves the ledger its room.
const (
	defaultLooseBytes = 1 << 30
	looseShare        = 16
)

// createBucket makes a bucket. A loose one can't be made as such: it is made as the stream that it is.
func (b *Bus) createBucket(ctx context.Context, bucket Bucket) (jetstream.KeyValue, error) {
	want := b.bucketConfig(bucket)
	if !bucket.Loose {
		return b.js.CreateKeyValue(ctx, want)
	}
	persist := jetstream.AsyncPersistMode
	if b.cfg.Replicas > 1 {
		persist = jetstream.DefaultPersistMode // a quorum has it
	}
	_, err := b.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "KV_" + want.Bucket, Description: want.Description, Subjects: []string{"$KV." + want.Bucket + ".>"},
		MaxMsgsPerSubject: int64(want.History), MaxBytes: maxBytes(b.cfg, bucket.MaxBytes, defaultLooseBytes, looseShare), MaxAge: want.TTL, MaxMsgSize: -1, MaxMsgs: -1, MaxConsumers: -1,
		Storage: want.Storage, Replicas: want.Replicas, Discard: jetstream.DiscardNew, Duplicates: 2 * time.Minute,
		DenyDelete: true, AllowRollup: true, AllowMsgTTL: want.LimitMarkerTTL > 0, SubjectDeleteMarkerTTL: want.LimitMarkerTTL,
		PersistMode: persist,
	})
	if err != nil {
		return nil, err
	}
	return b.js.KeyValue(ctx, want.Bucket)
}

func (b *Bus) bucketConfig(bucket Bucket) jetstream.KeyValueConfig {
	bucket = bucket.withDefaults()
	storage := jetstream.FileStorage
	if bucket.Memory {
		storage = jetstream.MemoryStorage
	}
	return jetstream.KeyValueConfig{
		Bucket:         bucket.Name,
		Description:    bucket.Description,
		TTL:            bucket.TTL,
		History:        bucket.History,
		MaxBytes:       bucket.MaxBytes,
		LimitMarkerTTL: bucket.MarkerTTL,
		Storage:        storage,
		Replicas:       b.cfg.Replicas,
	}
}

func (bucket Bucket) withDefaults() Bucket {
	setDefault(&bucket.History, 1)
	setDefault(&bucket.MaxBytes, -1)
	return bucket
}

func sameBucket(got, want jetstream.KeyValueConfig) bool {
	return got.TTL == want.TTL && got.History == want.History && got.MaxBytes == want.MaxBytes && got.LimitMarkerTTL == want.LimitMarkerTTL
}
