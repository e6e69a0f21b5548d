package revocation

import (
	"fmt"
	"io"
)

// HashKey is a deployment's key of fingerprints: 16 random bytes, zero for none. It is a secret to all who may choose ids: with it, ids can be found whose
// fingerprints are the same as other ids', whatever their kind and tenant, so that a revocation of one's own ends somebody else's sessions; and ids that crowd
// a replica's memory. It prints as nothing but its name.
type HashKey [16]byte

const hiddenKey = "HashKey(hidden)"

// Format is for package fmt, whatever the verb.
func (HashKey) Format(to fmt.State, _ rune) { _, _ = io.WriteString(to, hiddenKey) }

// MarshalText is for what writes JSON.
func (HashKey) MarshalText() ([]byte, error) { return []byte(hiddenKey), nil }
