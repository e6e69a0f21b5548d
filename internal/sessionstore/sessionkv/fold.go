package sessionkv

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/sessionstore"
)

const (
	// foldAfter is how long after a touch a session's own entry tells of it, at the earliest, and foldSpread by how much later that is at most: each process draws its own, so that
	// mostly one of them does it.
	foldAfter, foldSpread = 4 * time.Minute, 3 * time.Minute
	// foldInterval is how often it is looked for such sessions.
	foldInterval = 15 * time.Second
	// foldedAtOnce is how many entries are written at a time.
	foldedAtOnce = 500
)

// foldTouches has sessions' own entries tell of their touches, until ctx ends, before the sheets that tell of them expire.
func (s *Store) foldTouches(ctx context.Context) {
	after := foldAfter + rand.N(foldSpread)
	tick := time.NewTicker(foldInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.fold(ctx, time.Now().Add(-after))
		}
	}
}

// fold writes the sessions that were touched at a time or before and whose entries don't tell so. What fails is tried again the next time.
func (s *Store) fold(ctx context.Context, since time.Time) {
	s.mu.RLock()
	keys := s.table.Behind(since)
	s.mu.RUnlock()
	for some := range slices.Chunk(keys, foldedAtOnce) {
		if !s.current() || !s.foldAll(ctx, some) {
			return
		}
	}
}

// foldAll writes sessions that go on as they are in memory, and reports whether the bucket can be written to. One that somebody else writes at the same time needn't be.
func (s *Store) foldAll(ctx context.Context, keys []sessionstore.Key) bool {
	futures := make([]jetstream.PubAckFuture, 0, len(keys))
	for _, key := range keys {
		session, revision, ok := s.get(key)
		if !ok || session.Ended != nil {
			// It goes with its time. And a claim isn't written again: touches that were refused because of it would lie before it.
			continue
		}
		future, err := s.js.PublishMsgAsync(s.message(s.cfg.Hasher.Session(key), session, revision))
		if err != nil {
			return false
		}
		futures = append(futures, future)
	}
	written := true
	for _, future := range futures {
		err := await(ctx, future)
		written = written && (err == nil || errors.Is(err, errConflict))
	}
	return written
}

func await(ctx context.Context, future jetstream.PubAckFuture) error {
	select {
	case <-future.Ok():
		return nil
	case err := <-future.Err():
		return writeError(err)
	case <-ctx.Done():
		return writeError(ctx.Err())
	}
}
