package exportfile

import (
	"encoding/hex"
	"time"
)

// Format names the form.
const Format = "curfew-export/1"

// Manifest tells what the lines before it are.
type Manifest struct {
	Format string `json:"format"`
	Events uint64 `json:"events"`
	// First and Last are positions; left out of a file without events, like the times.
	First       uint64    `json:"first,omitempty"`
	Last        uint64    `json:"last,omitempty"`
	FirstStored time.Time `json:"first_stored,omitzero"`
	LastStored  time.Time `json:"last_stored,omitzero"`
	// SHA256 is that of the lines before, each with its newline, in hex.
	SHA256 string    `json:"sha256"`
	Made   time.Time `json:"made"`
}

// Count adds a record, which lies behind those before it.
func (m *Manifest) Count(position uint64, stored time.Time) {
	if m.Events == 0 {
		m.First, m.FirstStored = position, stored
	}
	m.Events++
	m.Last, m.LastStored = position, stored
}

// Sealed returns the manifest of a file whose records have this SHA-256.
func (m Manifest) Sealed(sum []byte, made time.Time) Manifest {
	m.Format, m.SHA256, m.Made = Format, hex.EncodeToString(sum), made.UTC().Truncate(time.Second)
	return m
}

// Line is the last line, which its member tells from a record.
type Line struct {
	Manifest *Manifest `json:"manifest"`
}
