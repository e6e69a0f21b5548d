package revocationnats

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// previousMember is the member of an object's metadata that names the chunks of the object before it.
const previousMember = "curfew-previous"

// Codes of JetStream's for a message that wasn't stored because another one was, since the one that was expected to be the last.
const (
	wrongLastSequence           = 10071
	wrongLastSequenceReplicated = 10164
)

// Codes of JetStream's for a stream that is full, and for an account that is.
const (
	storeFailed     = 10077
	storageExceeded = 10047
)

// Save puts what write writes in the place of the snapshot, whole or not at all.
//
// The one before it stays, out of sight, until the Save after this one, so that whoever has begun to read it can finish. What processes have left that
// were killed in the middle of a Save goes with the first one that succeeds a minute later, or that finds no room: the bucket needs room for two
// snapshots, and for one more for each such process if none is to fail for it. Of two Saves that overlap, the second to finish gets ErrSnapshotReplaced.
//
// An error means that the old snapshot stays, but for one: when the connection breaks while the very last message is under way, nobody can know. Either
// snapshot is whole.
func (s *Snapshots) Save(ctx context.Context, write func(io.Writer) error) error {
	if err := s.save(ctx, write); err != nil {
		return fmt.Errorf("save the snapshot %s: %w", s, err)
	}
	return nil
}

func (s *Snapshots) save(ctx context.Context, write func(io.Writer) error) error {
	stream, err := s.stream(ctx)
	if err != nil {
		return err
	}
	before, err := s.current(ctx)
	if err != nil {
		return err
	}
	if err := s.removePrevious(ctx, stream, before); err != nil {
		return err
	}
	w := s.newWriter(ctx, s.newID())
	if err = w.fill(write); err == nil {
		err = s.complete(ctx, stream, w)
	}
	var entry uint64
	if err == nil {
		entry, err = s.replace(ctx, before, w)
	}
	switch {
	case err == nil:
		// What can't be removed now is for the next Save.
		if left, err := s.abandoned(ctx, stream, w.id, before.NUID); err == nil {
			_ = s.removeAbandoned(ctx, stream, left, entry)
		}
	case errors.Is(err, errUnknown):
	default:
		w.remove(ctx, stream)
		if full(err) {
			err = errors.Join(err, s.makeRoom(ctx, stream, before))
		}
	}
	return err
}

// full reports whether the bucket has no room for a chunk.
func full(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && (refused.ErrorCode == storeFailed || refused.ErrorCode == storageExceeded)
}

// errUnknown marks that the entry may have been stored, so that its chunks must stay.
var errUnknown = errors.New("it may have been saved or not")

// removePrevious removes the snapshot before the one that is there.
func (s *Snapshots) removePrevious(ctx context.Context, stream jetstream.Stream, now object) error {
	id := now.Metadata[previousMember]
	if id == "" || id == now.NUID || strings.ContainsAny(id, "*> \t\r\n") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.stall)
	defer cancel()
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(s.chunksTopic(id))); err != nil {
		return fmt.Errorf("remove the one before the last: %w", err)
	}
	return nil
}

// abandoned returns what Saves have left that didn't finish: topics of chunks, with the position of the last of each, but for those to keep.
func (s *Snapshots) abandoned(ctx context.Context, stream jetstream.Stream, keep ...string) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.stall)
	defer cancel()
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(s.chunksTopic(s.token()+".*")))
	if err != nil {
		return nil, fmt.Errorf("look for what others have left: %w", err)
	}
	left := map[string]uint64{}
	for topic := range info.State.Subjects {
		if slices.ContainsFunc(keep, func(id string) bool { return topic == s.chunksTopic(id) }) {
			continue
		}
		last, err := storedMessage(ctx, s.js, s.streamName(), map[string]any{"last_by_subj": topic})
		if err != nil {
			return nil, err
		}
		// Both by the server's clock.
		if last.Position > 0 && info.TimeStamp.Sub(last.Time) >= s.limits.abandoned {
			left[topic] = last.Position
		}
	}
	return left, nil
}

// removeAbandoned removes chunks that were stored before an entry of ours: whoever has stored them has begun before it, and will be refused. What was stored
// later may be somebody's who is about to succeed, however long that takes:
//
//  1. A has stored its chunks and counted them; 2. A is stopped for a minute; 3. B takes A's chunks for abandoned and removes them; 4. A wakes and
//     stores its entry. If nobody has stored one meanwhile, that succeeds, and leaves a snapshot without chunks.
func (s *Snapshots) removeAbandoned(ctx context.Context, stream jetstream.Stream, left map[string]uint64, entry uint64) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.stall)
	defer cancel()
	for topic, last := range left {
		if last > entry {
			continue
		}
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(topic)); err != nil {
			return fmt.Errorf("remove what others have left: %w", err)
		}
	}
	return nil
}

// makeRoom removes what was abandoned, in a bucket that is full, so that the next Save finds room: otherwise none might ever succeed again. For that
// it stores the entry of the snapshot that is there once more, which then looks as if it had just been saved.
func (s *Snapshots) makeRoom(ctx context.Context, stream jetstream.Stream, now object) error {
	left, err := s.abandoned(ctx, stream, now.NUID, now.Metadata[previousMember])
	if err != nil || len(left) == 0 {
		return err
	}
	info := now.ObjectInfo
	if !now.there() {
		info = s.newWriter(ctx, s.newID()).info()
		info.Deleted, info.Digest = true, ""
	}
	entry, err := s.store(ctx, now, info)
	if err != nil {
		return fmt.Errorf("make room: %w", err)
	}
	return s.removeAbandoned(ctx, stream, left, entry)
}

// newID returns a name for chunks.
func (s *Snapshots) newID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return s.token() + "." + hex.EncodeToString(id)
}

// complete makes sure that all chunks are there.
//
// Nobody removes what somebody adds to. But this process may have been stopped between two chunks, for so long that they looked abandoned.
func (s *Snapshots) complete(ctx context.Context, stream jetstream.Stream, w *objectWriter) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.question)
	defer cancel()
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(w.topic))
	if err != nil {
		return err
	}
	if got := info.State.Subjects[w.topic]; got != uint64(w.chunks) {
		return fmt.Errorf("%w: %d of %d chunks are there", ErrSnapshotIncomplete, got, w.chunks)
	}
	return nil
}

// replace stores the entry by which the new snapshot takes the old one's place, and returns its position.
func (s *Snapshots) replace(ctx context.Context, before object, w *objectWriter) (uint64, error) {
	info := w.info()
	if before.there() {
		info.Metadata = map[string]string{previousMember: before.NUID}
	}
	return s.store(ctx, before, info)
}

// store stores an entry, if the last one is still the one that was there before, and returns its position.
func (s *Snapshots) store(ctx context.Context, before object, info jetstream.ObjectInfo) (uint64, error) {
	data, err := json.Marshal(info)
	if err != nil {
		return 0, err
	}
	m := nats.NewMsg(s.entryTopic())
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	m.Data = data
	ctx, cancel := context.WithTimeout(ctx, s.limits.stall)
	defer cancel()
	ack, err := s.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(before.position), jetstream.WithRetryAttempts(0))
	var refused *jetstream.APIError
	switch {
	case err == nil:
		return ack.Sequence, nil
	case !errors.As(err, &refused):
		return 0, fmt.Errorf("%w: %w", errUnknown, err)
	case refused.ErrorCode == wrongLastSequence || refused.ErrorCode == wrongLastSequenceReplicated:
		return 0, ErrSnapshotReplaced
	}
	return 0, err
}
