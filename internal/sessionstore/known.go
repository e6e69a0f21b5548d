package sessionstore

import (
	"context"
	"time"
)

// Known returns the ids of a user's sessions that haven't ended and were registered up to a time, the newest first: of the MaxListed newest that go on.
func Known(ctx context.Context, store Store, tenant, user string, upTo time.Time) ([]string, error) {
	list, _, err := store.Sessions(ctx, tenant, user, MaxListed)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range list {
		if s.Ended == nil && !s.CreatedAt.After(upTo) {
			ids = append(ids, s.ID)
		}
	}
	return ids, nil
}
