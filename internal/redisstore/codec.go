package redisstore

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/internal/sessionstore"
)

// A stored session begins with one letter for its state and thirteen digits for its last touch, in milliseconds, so that a script can read and write both without
// reading the rest, which is what sessionstore.Encode has made. Where the two differ, the beginning is right.
const (
	stateAlive   = 'a'
	stateWarned  = 'w'
	statePending = 'p'
	stateEnded   = 'e'

	headerBytes = 14
)

var errNotOurs = errors.New("redis: what lies under a session's name isn't one: is the database another application's too? give Curfew one of its own")

func encode(s sessionstore.Session) string {
	state := stateAlive
	switch {
	case s.Ended != nil && s.Ended.Pending():
		state = statePending
	case s.Ended != nil:
		state = stateEnded
	case s.Warned:
		state = stateWarned
	}
	return string(state) + moment(s.SeenAt) + string(sessionstore.Encode(s))
}

// moment is a time in thirteen digits, which is up to the year 2286.
func moment(t time.Time) string {
	return fmt.Sprintf("%013d", min(max(t.UnixMilli(), 0), 9_999_999_999_999))
}

func decode(value string) (sessionstore.Session, error) {
	if len(value) < headerBytes {
		return sessionstore.Session{}, errNotOurs
	}
	seen, err := strconv.ParseInt(value[1:headerBytes], 10, 64)
	if err != nil {
		return sessionstore.Session{}, errNotOurs
	}
	s, err := sessionstore.Decode([]byte(value[headerBytes:]))
	if err != nil {
		return sessionstore.Session{}, errNotOurs
	}
	s.SeenAt, s.Warned = time.UnixMilli(seen).UTC(), value[0] == stateWarned
	return s, nil
}
