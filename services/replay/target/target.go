package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/exportfile"
)

// Kind is a kind of target.
type Kind string

// The kinds.
const (
	KindTopic    Kind = "topic"
	KindWebhook  Kind = "webhook"
	KindFile     Kind = "file"
	KindRedis    Kind = "redis"
	KindTabs     Kind = "tabs"
	KindReplicas Kind = "replicas"
)

// kindNames lists all kinds in sentences.
const kindNames = "topic, webhook, file, redis, tabs, replicas"

// Spec names a target. Each kind has at most one of the members behind it.
type Spec struct {
	Kind Kind `json:"kind"`
	// Topic is where a topic's messages go.
	Topic string `json:"topic,omitempty"`
	// URL is the webhook's.
	URL string `json:"url,omitempty"`
	// Name is the file's; empty names it after the replay.
	Name string `json:"name,omitempty"`
	// Group is that of replicas; empty is this deployment's own.
	Group string `json:"group,omitempty"`
}

// Message is an event on its way to a target.
type Message struct {
	// ID is <replay>/<tenant>/<event id>: the same each time that it is sent. An event's id is of its tenant alone.
	ID       string
	Position uint64
	Stored   time.Time
	// Data is the event, marked as replayed.
	Data []byte
}

// Target takes the events of one replay. It is used by one goroutine.
type Target interface {
	// Send takes an event. It has been sent once Flush has returned nil.
	Send(ctx context.Context, m Message) error
	// Flush returns once everything that was taken has arrived.
	Flush(ctx context.Context) error
	// Finish ends a replay whose last event was flushed.
	Finish(ctx context.Context) error
	// Result is what is to be told of the target, and found again by Open after a crash. It holds for the last Flush or Finish.
	Result() Result
	// Close lets go of what the target holds. It loses what wasn't flushed.
	Close()
}

// Whole is a target that takes no events, but is told to do something of its own, and tells how far it is.
type Whole interface {
	Target
	Do(ctx context.Context, progress func(done, of int)) error
}

// Result is what a target tells. What isn't its kind's is zero.
type Result struct {
	// File, Bytes and SHA256 are a file's: its name, how long it is, and the sum of its records when it is finished.
	File   string `json:"file,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// Key is the Redis Stream's.
	Key string `json:"key,omitempty"`
	// TabsTold counts the tabs that were told, and GatewaysMissed how often a gateway hasn't answered.
	TabsTold       int `json:"tabs_told,omitempty"`
	GatewaysMissed int `json:"gateways_missed,omitempty"`
	// Replicas are those that were told to read the ledger anew, and what came of it.
	Replicas []Rebuilt `json:"replicas,omitempty"`
}

// Rebuilt is what one replica tells.
type Rebuilt struct {
	Name string `json:"name"`
	// State is reading, done or failed.
	State string `json:"state"`
	// Same is whether it held before what it has read; Digest is that of what it holds now, at Position, with what the ledger has lost.
	Same     bool   `json:"same"`
	Digest   string `json:"digest,omitempty"`
	Position uint64 `json:"position,omitempty"`
	TookMS   int64  `json:"took_ms,omitempty"`
	Error    string `json:"error,omitempty"`
}

// Checkpoint is where a target was when everything before it had arrived. It is kept beside the replay's record, and told to nobody.
type Checkpoint struct {
	Result Result `json:"result"`
	// Sum is the state of the file's SHA-256, and Tally what its manifest will tell. Of a Redis Stream's Tally Last alone counts.
	Sum   []byte               `json:"sum,omitempty"`
	Tally *exportfile.Manifest `json:"tally,omitempty"`
}

// Resumable is a target that needs more than Result to go on.
type Resumable interface{ Checkpoint() Checkpoint }

// CheckpointOf returns a target's checkpoint.
func CheckpointOf(t Target) Checkpoint {
	if r, ok := t.(Resumable); ok {
		return r.Checkpoint()
	}
	return Checkpoint{Result: t.Result()}
}

// Mark returns an event as it is sent: a copy that is marked as the replay's. e is changed, and the caller's no more.
func Mark(e events.Event, replay string, position uint64, stored time.Time) (Message, error) {
	e.Meta().Replay = replay
	data, err := events.Encode(e)
	if err != nil {
		return Message{}, fmt.Errorf("mark the event at position %d: %w", position, err)
	}
	return Message{ID: replay + "/" + e.Meta().Tenant + "/" + e.Meta().ID, Position: position, Stored: stored, Data: data}, nil
}

// ErrBeginAnew is returned by Open for a target that doesn't have what the checkpoint tells of: everything must be sent to it from the beginning.
var ErrBeginAnew = errors.New("the target doesn't hold what was sent to it")

// ErrFinal is what an error is that another attempt doesn't mend.
var ErrFinal = errors.New("another attempt doesn't mend it")

// final marks an error as ErrFinal without another word.
type final struct{ error }

func (f final) Unwrap() error        { return f.error }
func (f final) Is(target error) bool { return target == ErrFinal }

// record is a line of a file, as the history writes it.
type record struct {
	Position uint64          `json:"position"`
	Stored   time.Time       `json:"stored"`
	Event    json.RawMessage `json:"event"`
}
