package revocationnats

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
)

// Errors of Snapshots.
var (
	// ErrNoBucket is returned by Save when there is no such object store. Open's error matches fs.ErrNotExist besides.
	ErrNoBucket = errors.New("the bucket of snapshots doesn't exist: curfew serve with the role publisher creates it")
	// ErrSnapshotReplaced is returned by Save when somebody else has saved meanwhile, whose snapshot then stays.
	ErrSnapshotReplaced = errors.New("another process has saved a snapshot meanwhile")
	// ErrSnapshotIncomplete is returned by Open and Read when not all of the snapshot is there, or something else than what was saved.
	ErrSnapshotIncomplete = errors.New("the snapshot isn't whole")
)

const defaultBucket = "CURFEW_SNAPSHOTS"

// limits of reading and writing.
type limits struct {
	// chunk is the size of a chunk in bytes, unless the server takes only smaller messages. ADR 0033 has the measurements.
	chunk int
	// window bounds the bytes that are under way and not stored yet, and with them the server's memory and how long other messages of the connection
	// wait; ahead bounds those that were asked for and not read yet.
	window, ahead int
	// question bounds a single question to the server, and stall how long nothing may move before reading or writing gives up.
	question, stall time.Duration
	// abandoned is how long nobody has added to chunks that belong to no object, before they are taken for left behind. They are removed once another
	// Save has succeeded, after which theirs can't.
	abandoned time.Duration
}

func defaultLimits() limits {
	return limits{chunk: 512 << 10, window: 2 << 20, ahead: 8 << 20, question: 2 * time.Second, stall: 5 * time.Second, abandoned: time.Minute}
}

// SnapshotsConfig says where the snapshots are. The zero value is ready to use.
type SnapshotsConfig struct {
	// Bucket is the object store. Empty means CURFEW_SNAPSHOTS.
	Bucket string
	// Stream is the ledger's name, under which its snapshot is kept: a bucket holds one for each. Empty means CURFEW.
	Stream string
}

// Snapshots keeps the snapshots of one ledger in an object store of JetStream. It writes objects as any client of object stores does, and any can read
// them: nats object get CURFEW_SNAPSHOTS CURFEW. It is safe for concurrent use, and needs a few MiB of memory, however large a snapshot is.
type Snapshots struct {
	js     jetstream.JetStream
	cfg    SnapshotsConfig
	limits limits
}

var _ revocation.Snapshots = (*Snapshots)(nil)

// NewSnapshots returns the snapshots in an object store that is reached through js, which stays the caller's. It asks the server nothing: the
// bucket need not be there yet. Whoever only reads needs no right to create or change it.
func NewSnapshots(js jetstream.JetStream, cfg SnapshotsConfig) *Snapshots {
	if cfg.Bucket == "" {
		cfg.Bucket = defaultBucket
	}
	if cfg.Stream == "" {
		cfg.Stream = "CURFEW"
	}
	return &Snapshots{js: js, cfg: cfg, limits: defaultLimits()}
}

// String names the place, as in nats:CURFEW_SNAPSHOTS/CURFEW.
func (s *Snapshots) String() string { return "nats:" + s.cfg.Bucket + "/" + s.cfg.Stream }

// SnapshotStat is what the object store says of a snapshot.
type SnapshotStat struct {
	// Stored is when it was saved, and Now is when the server was asked, both by the server's clock.
	Stored, Now time.Time
	Bytes       int64
}

// Stat returns what the object store says of the snapshot that is there. Its error matches fs.ErrNotExist if there is none.
func (s *Snapshots) Stat(ctx context.Context) (SnapshotStat, error) {
	stream, o, err := s.find(ctx)
	if err != nil {
		return SnapshotStat{}, fmt.Errorf("look at the snapshot %s: %w", s, err)
	}
	return SnapshotStat{Stored: o.stored, Now: stream.CachedInfo().TimeStamp, Bytes: int64(o.Size)}, nil
}

// find returns the bucket's stream and the snapshot's entry, or an error that matches fs.ErrNotExist.
func (s *Snapshots) find(ctx context.Context) (jetstream.Stream, object, error) {
	stream, err := s.stream(ctx)
	if errors.Is(err, ErrNoBucket) {
		return nil, object{}, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if err != nil {
		return nil, object{}, err
	}
	o, err := s.current(ctx)
	if err == nil && !o.there() {
		err = fs.ErrNotExist
	}
	return stream, o, err
}

// The names by which clients of object stores know the bucket's stream, an object's entry and its chunks. The chunks of a snapshot lie under its name,
// so that what isn't ours is never removed.
func (s *Snapshots) streamName() string           { return "OBJ_" + s.cfg.Bucket }
func (s *Snapshots) token() string                { return base64.URLEncoding.EncodeToString([]byte(s.cfg.Stream)) }
func (s *Snapshots) entryTopic() string           { return "$O." + s.cfg.Bucket + ".M." + s.token() }
func (s *Snapshots) chunksTopic(id string) string { return "$O." + s.cfg.Bucket + ".C." + id }

// stream asks for the bucket's stream, and so for the time and what it holds.
func (s *Snapshots) stream(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.question)
	defer cancel()
	stream, err := s.js.Stream(ctx, s.streamName())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, ErrNoBucket
	}
	return stream, err
}

// object is an object's entry: what it says, and where and when that was stored.
type object struct {
	jetstream.ObjectInfo
	// position is 0 for an object that never was.
	position uint64
	stored   time.Time
}

func (o object) there() bool { return o.position > 0 && !o.Deleted }

// current asks the bucket's leader for the entry of the snapshot; the zero object means that there never was one. Another copy of the bucket could
// lag behind, and what looks abandoned by its entry might be what everybody reads.
func (s *Snapshots) current(ctx context.Context) (object, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.question)
	defer cancel()
	m, err := storedMessage(ctx, s.js, s.streamName(), map[string]any{"last_by_subj": s.entryTopic()})
	if err != nil || m.Position == 0 {
		return object{}, err
	}
	o := object{position: m.Position, stored: m.Time}
	if err := json.Unmarshal(m.Data, &o.ObjectInfo); err != nil {
		return object{}, fmt.Errorf("read its entry: %w", err)
	}
	return o, nil
}
