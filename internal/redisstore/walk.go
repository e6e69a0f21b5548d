package redisstore

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/curfewhq/curfew/internal/sessionstore"
)

// walkedAtOnce is how many sessions Walk reads in one go.
const walkedAtOnce = 1000

// Walk does what sessionstore.Store says. It goes through the set of what is due, where every session stands that goes on.
func (s *Store) Walk(ctx context.Context, tenant string, most int, each func(sessionstore.Session)) (more bool, err error) {
	cursor, looked, now := uint64(0), 0, time.Now()
	for {
		var pairs []string // members and their scores, in turn
		if pairs, cursor, err = s.client.ZScan(ctx, dueKey, cursor, "", walkedAtOnce).Result(); err != nil {
			return ended(ctx, looked, err)
		}
		var ids []string
		for i := 0; i < len(pairs); i += 2 {
			if looked == most {
				more = true
				break
			}
			looked++
			if of, id, _ := strings.Cut(pairs[i], "/"); of == tenant {
				ids = append(ids, id)
			}
		}
		for some := range slices.Chunk(ids, walkedAtOnce) {
			list, _, err := s.read(ctx, tenant, some)
			if err != nil {
				return ended(ctx, looked, err)
			}
			for _, session := range list {
				if session.GoesOn(now) {
					each(session)
				}
			}
		}
		if more || cursor == 0 {
			return more, nil
		}
	}
}

// ended tells a walk that ran out of time, which has more, from one that failed.
func ended(ctx context.Context, looked int, err error) (more bool, _ error) {
	if ctx.Err() != nil && looked > 0 {
		return true, nil
	}
	return false, failure(err)
}
