package main

import (
	"sync"
	"time"

	"github.com/curfewhq/curfew/events"
)

// naive is what one would write: maps under a lock. It knows less of each revocation than a replica does.
type naive struct {
	mu       sync.RWMutex
	sessions map[string]time.Time
	users    map[string]naiveCutoff
}

// naiveCutoff is when a user was logged out everywhere, and which sessions were spared.
type naiveCutoff struct {
	at     time.Time
	except []string
}

func newNaive() *naive {
	return &naive{sessions: map[string]time.Time{}, users: map[string]naiveCutoff{}}
}

func (n *naive) apply(e events.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch e := e.(type) {
	case *events.SessionRevoked:
		n.sessions[e.Session] = e.Time
	case *events.UserLoggedOutEverywhere:
		n.users[e.User] = naiveCutoff{e.Cutoff, e.Except}
	}
}
