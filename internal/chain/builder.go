package chain

import (
	"errors"
	"fmt"
	"time"
)

// Bounds of one checkpoint.
const (
	// MaxEvents is how many events it has.
	MaxEvents = 1000
	// maxSpan is how far apart they were stored, at most: a checkpoint over a past that is hashed late tells of the oldest alone when it is due to be forgotten.
	maxSpan = time.Hour
)

// ErrOrder is returned for an entry that doesn't lie behind the one before it.
var ErrOrder = errors.New("the ledger gives positions that it has given before")

// Builder makes the checkpoints of one chain. It isn't safe for concurrent use.
type Builder struct {
	last   Checkpoint
	hasher Hasher
	// What has come since the last checkpoint.
	position, listed, events uint64
	hash                     Hash
	leaves                   []byte
	oldest                   time.Time
	mark                     *Mark
}

// Begin begins a chain: id is its name, which no other has, and made and first are those of the ledger.
func Begin(id string, cause Cause, made time.Time, first uint64) *Builder {
	first = max(first, 1)
	b := &Builder{last: Checkpoint{V: version, Chain: id, Cause: cause, Ledger: made.UTC(), First: first, Position: first - 1}}
	b.hash = genesis(id, made, first)
	b.position, b.listed = first-1, first-1
	return b
}

// Resume goes on behind a checkpoint.
func Resume(c Checkpoint) *Builder {
	return &Builder{last: c, position: c.Position, listed: c.Position, events: c.Events, hash: c.hash(), mark: c.Last}
}

// Position is up to where the ledger was seen.
func (b *Builder) Position() uint64 { return b.position }

// Pending is how many events have come since the last checkpoint.
func (b *Builder) Pending() uint64 { return b.events - b.last.Events }

// Full reports whether a checkpoint must be made before an entry that was stored then is added.
func (b *Builder) Full(stored time.Time) bool {
	return b.Pending() >= MaxEvents || b.Pending() > 0 && stored.Sub(b.oldest) > maxSpan
}

// Add takes the next event. It returns ErrOrder.
func (b *Builder) Add(e Entry) error {
	if err := b.Pass(e.Position); err != nil {
		return err
	}
	leaf := b.hasher.Leaf(e)
	if b.Pending() == 0 || e.Stored.Before(b.oldest) {
		b.oldest = e.Stored.UTC()
	}
	b.hash = step(b.hash, leaf)
	b.events++
	b.leaves = appendLeaf(b.leaves, e.Position-b.listed, leaf.Digest())
	b.listed = e.Position
	b.mark = &Mark{Position: e.Position, Stored: e.Stored.UTC(), Digest: leaf.Digest()}
	return nil
}

// Pass goes past a beat. It returns ErrOrder.
func (b *Builder) Pass(position uint64) error {
	if position <= b.position {
		return fmt.Errorf("%w: %d behind %d", ErrOrder, position, b.position)
	}
	b.position = position
	return nil
}

// Seal is what a checkpoint says beside what the chain knows.
type Seal struct {
	Number    uint64
	Previous  string
	Time      time.Time
	Retention time.Duration
}

// Checkpoint returns a checkpoint of what has come. It changes nothing: tell Sealed when it is kept.
func (b *Builder) Checkpoint(s Seal) Checkpoint {
	c := Checkpoint{
		V: version, Number: s.Number, Previous: s.Previous, Time: s.Time.UTC(), Chain: b.last.Chain, Ledger: b.last.Ledger, First: b.last.First,
		After: b.last.Position, Position: b.position, Events: b.events, Hash: b.hash.String(), RetentionMS: s.Retention.Milliseconds(), Last: b.mark, Leaves: b.leaves,
	}
	if b.last.Number == 0 {
		c.Cause = b.last.Cause
	}
	if b.Pending() > 0 {
		c.Oldest = b.oldest
	}
	return c
}

// Sealed goes on behind a checkpoint of Checkpoint, which is kept from then on.
func (b *Builder) Sealed(c Checkpoint) {
	b.last, b.leaves, b.listed = c, nil, c.Position
}
