package replay

import (
	"cmp"
	"time"

	"github.com/curfewhq/curfew/services/replay/target"
)

// ReplayState is how far a replay has come, in a word.
type ReplayState string

// The states. A replay waits until a process has room for it; it is over when it is done, cancelled or failed, and the last two can be resumed.
const (
	StateWaiting   ReplayState = "waiting"
	StateRunning   ReplayState = "running"
	StateDone      ReplayState = "done"
	StateCancelled ReplayState = "cancelled"
	StateFailed    ReplayState = "failed"
)

// over reports whether nothing more happens by itself.
func (s ReplayState) over() bool { return s == StateDone || s == StateCancelled || s == StateFailed }

// Replay is the record of a replay, and the only one: who asked for what, how far it is and how it ended.
type Replay struct {
	// ID is a UUIDv7. Events carry it.
	ID     string      `json:"id"`
	State  ReplayState `json:"state"`
	Filter Filter      `json:"filter"`
	Target target.Spec `json:"target"`
	Rate   int         `json:"rate"`
	// KeyID is the API key that has asked for it, of KeyTenant; CancelledBy is the one that has cancelled it last, and ResumedBy the one that has had it go on last, on whose order it goes on since.
	KeyID       string `json:"key_id"`
	KeyTenant   string `json:"key_tenant"`
	CancelledBy string `json:"cancelled_by,omitempty"`
	ResumedBy   string `json:"resumed_by,omitempty"`
	// CreatedAt, StartedAt and EndedAt are times of the processes that have written them, the last two of the last attempt.
	CreatedAt time.Time `json:"created_at"`
	StartedAt time.Time `json:"started_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	// From and To are the first and the last position of the range, as it was when the replay was asked for, and Position is up to where everything has been sent. Of the
	// target replicas they are how many are through, of how many.
	From     uint64 `json:"from"`
	To       uint64 `json:"to"`
	Position uint64 `json:"position"`
	// Sent and Unreadable count events that were sent, and messages that hold none that this version knows. After a crash a few that were sent are sent again, and counted once.
	Sent       uint64 `json:"sent"`
	Unreadable uint64 `json:"unreadable"`
	// Runs is how often a process has begun it, or gone on with it, and Process the one that did so last, as host/pid: a file is on its machine.
	Runs    int           `json:"runs"`
	Process string        `json:"process,omitempty"`
	Result  target.Result `json:"result"`
	// Error is why it has failed, or why a running one waits at the moment. Next is the next command to type.
	Error string `json:"error,omitempty"`
	Next  string `json:"next,omitempty"`
	// WebhookSecret is told once, to who asks for the replay. It isn't stored.
	WebhookSecret string `json:"webhook_secret,omitempty"`
}

// stored is a replay as it is kept: with what is needed to go on, and nothing secret.
type stored struct {
	Replay
	// Made is the ledger that there was when the replay was asked for: positions of another one mean something else.
	Made       time.Time          `json:"made"`
	Checkpoint *target.Checkpoint `json:"checkpoint,omitempty"`
	revision   uint64
}

// orderedBy is the key on whose order it runs.
func (t stored) orderedBy() string { return cmp.Or(t.ResumedBy, t.KeyID) }

// view is what callers are told.
func (t stored) view() Replay {
	r := t.Replay
	switch r.State {
	case StateCancelled, StateFailed:
		r.Next = "curfew replay resume " + r.ID
	case StateWaiting, StateRunning:
		r.Next = "curfew replay status " + r.ID + " --follow"
	}
	return r
}
