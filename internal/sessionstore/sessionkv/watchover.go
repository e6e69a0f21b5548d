package sessionkv

import (
	"context"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
)

// lookInterval is how often it is looked whether the bucket is still the one that is followed.
const lookInterval = 5 * time.Second

// watchOver looks, until ctx ends, whether what is in memory is still in the bucket, which may have been made anew, put back, or purged: nothing is told of that.
func (s *Store) watchOver(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	created, ok := s.stream.CachedInfo().Created, true
	first := s.stream.CachedInfo().State.FirstSeq
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// Before the question: the bucket holds at least what was heard by then.
		heard, complete := s.highest(), s.complete()
		asking, cancel := context.WithTimeout(ctx, writeTimeout)
		info, err := s.stream.Info(asking)
		cancel()
		if err != nil {
			continue
		}
		if !ok || !info.Created.Equal(created) || info.State.LastSeq < heard {
			if ok = s.beginAnew(ctx); ok {
				created, first = info.Created, info.State.FirstSeq
			}
			continue
		}
		s.settle(complete, info.State.LastSeq)
		if info.State.FirstSeq > first {
			first = info.State.FirstSeq
			s.mu.Lock()
			s.forget(s.table.Below(first))
			s.mu.Unlock()
		}
	}
}

// highest returns the greatest revision that was told.
func (s *Store) highest() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.applied
}

// beginAnew follows the bucket from its beginning. It reports whether that works; meanwhile nothing is answered.
func (s *Store) beginAnew(ctx context.Context) bool {
	s.following.Load().Close()
	opening, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	following, err := bus.Follow(opening, s.conn, rereading{s.kv, s}, s.take)
	if err != nil {
		return false
	}
	s.following.Store(following)
	return true
}
