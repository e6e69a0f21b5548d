package revocationnats

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// Save puts what write writes in the place of the snapshot, whole or not at all.
//
// The one before it stays, out of sight, until the Save after this one, so that whoever has begun to read it can finish: the bucket needs room for
// two. What Saves that failed have left goes with the first one after a minute. Of two that overlap, the second to finish gets ErrSnapshotReplaced.
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
	if err := s.removeOld(ctx, stream, before); err != nil {
		return err
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	w := s.newWriter(ctx, s.token()+"."+hex.EncodeToString(id))
	if err = w.fill(write); err == nil {
		err = s.complete(ctx, stream, w)
	}
	if err == nil {
		err = s.replace(ctx, before, w)
	}
	if err != nil && !errors.Is(err, errUnknown) {
		w.remove(ctx, stream)
	}
	return err
}

// errUnknown marks that the entry may have been stored, so that its chunks must stay.
var errUnknown = errors.New("it may have been saved or not")

// removeOld removes the snapshot before the one that is there, and what Saves that failed have left.
func (s *Snapshots) removeOld(ctx context.Context, stream jetstream.Stream, now object) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.stall)
	defer cancel()
	if id := now.Metadata[previousMember]; id != "" && id != now.NUID && !strings.ContainsAny(id, "*> \t\r\n") {
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(s.chunksTopic(id))); err != nil {
			return fmt.Errorf("remove the one before the last: %w", err)
		}
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(s.chunksTopic(s.token()+".*")))
	if err != nil {
		return fmt.Errorf("look for what others have left: %w", err)
	}
	for topic := range info.State.Subjects {
		if now.there() && topic == s.chunksTopic(now.NUID) {
			continue
		}
		last, err := storedMessage(ctx, s.js, s.streamName(), map[string]any{"last_by_subj": topic})
		if err != nil {
			return err
		}
		// Both by the server's clock.
		if info.TimeStamp.Sub(last.Time) < s.limits.abandoned {
			continue
		}
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(topic)); err != nil {
			return fmt.Errorf("remove what others have left: %w", err)
		}
	}
	return nil
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

// replace stores the entry by which the new snapshot takes the old one's place.
func (s *Snapshots) replace(ctx context.Context, before object, w *objectWriter) error {
	info := w.info()
	if before.there() {
		info.Metadata = map[string]string{previousMember: before.NUID}
	}
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	m := nats.NewMsg(s.entryTopic())
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	m.Data = data
	ctx, cancel := context.WithTimeout(ctx, s.limits.stall)
	defer cancel()
	_, err = s.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(before.position), jetstream.WithRetryAttempts(0))
	var refused *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &refused):
		return fmt.Errorf("%w: %w", errUnknown, err)
	case refused.ErrorCode == wrongLastSequence || refused.ErrorCode == wrongLastSequenceReplicated:
		return ErrSnapshotReplaced
	}
	return err
}
