package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/internal/sessionstore"
)

// Touch does what sessionstore.Store says.
func (s *Store) Touch(ctx context.Context, tenant string, touches []sessionstore.Touch) ([]sessionstore.Touched, error) {
	out := make([]sessionstore.Touched, 0, len(touches))
	for len(touches) > 0 {
		some := touches[:min(touchesAtOnce, len(touches))]
		touches = touches[len(some):]
		keys, args := make([]string, len(some)), make([]any, len(some))
		for i, touch := range some {
			keys[i], args[i] = s.sessionKey(sessionstore.Key{Tenant: tenant, ID: touch.ID}), moment(touch.At)
		}
		replies, err := touchScript.Run(ctx, s.client, keys, args...).StringSlice()
		if err != nil {
			return nil, failure(err)
		}
		for _, reply := range replies {
			touched, err := touchedOf(reply)
			if err != nil {
				return nil, err
			}
			out = append(out, touched)
		}
	}
	return out, nil
}

// touchedOf reads what the script says of one touch: nothing for a session that isn't there, else a letter and the last touch.
func touchedOf(reply string) (sessionstore.Touched, error) {
	if reply == "" {
		return sessionstore.Touched{}, nil
	}
	if len(reply) < headerBytes {
		return sessionstore.Touched{}, errNotOurs
	}
	seen, err := strconv.ParseInt(reply[1:headerBytes], 10, 64)
	if err != nil {
		return sessionstore.Touched{}, errNotOurs
	}
	touched := sessionstore.Touched{Outcome: sessionstore.Taken, SeenAt: time.UnixMilli(seen).UTC()}
	switch reply[0] {
	case 'o':
		touched.Outcome = sessionstore.Over
	case 'r':
		touched.Renewed = true
	}
	return touched, nil
}

// Warn does what sessionstore.Store says.
func (s *Store) Warn(ctx context.Context, key sessionstore.Key, seen time.Time) (bool, error) {
	return sessionstore.Change(s.change).Warn(ctx, key, seen)
}

// End does what sessionstore.Store says.
func (s *Store) End(ctx context.Context, key sessionstore.Key, end sessionstore.End, seen time.Time) (sessionstore.Session, bool, error) {
	return sessionstore.Change(s.change).End(ctx, key, end, seen)
}

// change applies a change to a session, again and again where others were faster.
func (s *Store) change(ctx context.Context, key sessionstore.Key, by func(sessionstore.Session) (after sessionstore.Session, changed bool)) error {
	for range attempts {
		session, value, err := s.get(ctx, key)
		if err != nil {
			return err
		}
		after, changed := by(session)
		if !changed {
			return nil
		}
		done := ""
		if after.Ended != nil && !after.Ended.Pending() {
			done = member(key)
		}
		swapped, err := swapScript.Run(ctx, s.client, []string{s.sessionKey(key), dueKey, s.userKey(after.Tenant, after.User)}, value, encode(after), after.KeptUntil().UnixMilli(), done, key.ID, place(after)).Int()
		if err != nil {
			return failure(err)
		}
		if swapped == 1 {
			return nil
		}
	}
	return fmt.Errorf("%w: others write the same session at the same time, and were faster %d times", sessionstore.ErrUnavailable, attempts)
}
