package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Type is as what checkpoints are signed.
const Type = "curfew-checkpoint"

// version is the form of checkpoints that this version makes and reads.
const version = 1

// Cause is why a chain was begun.
type Cause string

// The causes.
const (
	// CauseFirst: there was no checkpoint.
	CauseFirst Cause = "first"
	// CauseReplaced: the ledger was made anew.
	CauseReplaced Cause = "replaced"
	// CauseWentBack: the ledger ends before the last checkpoint: it was put back, or cut off.
	CauseWentBack Cause = "went_back"
	// CauseChanged: the last event that was hashed isn't there any more, or is another one.
	CauseChanged Cause = "changed"
	// CauseUnverified: what lay at the end of the stream of checkpoints wasn't signed by a key of this deployment.
	CauseUnverified Cause = "unverified"
)

// Checkpoint says what the ledger held.
type Checkpoint struct {
	V int `json:"v"`
	// Number is its place in the stream of checkpoints. Previous is the SHA-256 of the checkpoint before it as it was signed; empty for the first.
	Number   uint64    `json:"number"`
	Previous string    `json:"previous,omitempty"`
	Time     time.Time `json:"time"`
	// Chain names the chain, and Cause, in its first checkpoint alone, why it was begun.
	Chain string `json:"chain"`
	Cause Cause  `json:"cause,omitempty"`
	// Ledger is when the ledger was made, by which it is told from another one of its name. First is the first position of the chain.
	Ledger time.Time `json:"ledger"`
	First  uint64    `json:"first"`
	// After is up to where the checkpoint before it went, and Position up to where this one does.
	After    uint64 `json:"after"`
	Position uint64 `json:"position"`
	// Events counts those of the chain, and Hash is the running hash over them.
	Events uint64 `json:"events"`
	Hash   string `json:"hash"`
	// RetentionMS is how long the ledger keeps events; 0 is for ever.
	RetentionMS int64 `json:"retention_ms"`
	// Oldest is when the oldest event of this checkpoint was stored; left out where it has none. Last is the last event of the chain, this checkpoint's or an earlier one's.
	Oldest time.Time `json:"oldest,omitzero"`
	Last   *Mark     `json:"last,omitempty"`
	// Leaves has for each event since After how far its position lies behind the one before it (an unsigned varint of encoding/binary), and its digest.
	Leaves []byte `json:"leaves,omitempty"`
}

// Mark is one event.
type Mark struct {
	Position uint64    `json:"position"`
	Stored   time.Time `json:"stored"`
	Digest   Digest    `json:"digest"`
}

// ErrForm is returned for what isn't a checkpoint.
var ErrForm = errors.New("it isn't in the form of a checkpoint")

// Encode returns what is signed.
func (c Checkpoint) Encode() ([]byte, error) { return json.Marshal(c) }

// Decode reads what was signed, and holds what it says together. It returns ErrForm.
func Decode(payload []byte) (Checkpoint, error) {
	var c Checkpoint
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return Checkpoint{}, ErrForm
	}
	var hash Hash
	switch {
	case c.V != version:
		return Checkpoint{}, fmt.Errorf("%w: its version is %d, and this one knows %d", ErrForm, c.V, version)
	case c.Number == 0 || c.Chain == "" || c.First == 0 || c.After+1 < c.First || c.Position < c.After || hexInto(hash[:], []byte(c.Hash)) != nil:
		return Checkpoint{}, fmt.Errorf("%w: its numbers don't go together", ErrForm)
	}
	counted := uint64(0)
	for r := c.leaves(); r.next(); counted++ {
		if r.position > c.Position {
			return Checkpoint{}, fmt.Errorf("%w: it lists events beyond itself", ErrForm)
		}
	}
	if r := c.leaves(); !r.whole() || c.Events < counted {
		return Checkpoint{}, fmt.Errorf("%w: its list of events can't be read", ErrForm)
	}
	return c, nil
}

// count is how many events the checkpoint lists.
func (c Checkpoint) count() uint64 {
	n := uint64(0)
	for r := c.leaves(); r.next(); n++ {
	}
	return n
}

// hash returns Hash, which Decode has held to its form.
func (c Checkpoint) hash() Hash {
	var h Hash
	_ = hexInto(h[:], []byte(c.Hash))
	return h
}

// TokenHash is what the next checkpoint calls Previous.
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func hexInto(into, text []byte) error {
	if hex.DecodedLen(len(text)) != len(into) {
		return ErrForm
	}
	if _, err := hex.Decode(into, text); err != nil {
		return ErrForm
	}
	return nil
}

// appendLeaf adds an event to a list.
func appendLeaf(list []byte, distance uint64, d Digest) []byte {
	return append(binary.AppendUvarint(list, distance), d[:]...)
}

// leafReader reads a list. position and digest are those of the event that next has gone to.
type leafReader struct {
	rest     []byte
	position uint64
	digest   Digest
}

func (c Checkpoint) leaves() *leafReader { return &leafReader{rest: c.Leaves, position: c.After} }

// next goes to the next event. It returns false at the end of the list, and where the list can't be read.
func (r *leafReader) next() bool {
	distance, n := binary.Uvarint(r.rest)
	if n <= 0 || distance == 0 || len(r.rest) < n+digestBytes || r.position+distance < r.position {
		return false
	}
	r.position += distance
	copy(r.digest[:], r.rest[n:])
	r.rest = r.rest[n+digestBytes:]
	return true
}

// whole reports whether the rest of the list can be read.
func (r *leafReader) whole() bool {
	for r.next() {
	}
	return len(r.rest) == 0
}
