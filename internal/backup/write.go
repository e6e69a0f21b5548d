package backup

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
)

// Format names the form of a backup.
const Format = "curfew-backup/1"

const (
	manifestName   = "manifest.json"
	snapshotSuffix = ".snapshot"
)

// Manifest tells what a backup holds.
type Manifest struct {
	Format string    `json:"format"`
	Made   time.Time `json:"made"`
	// Server is the version of the NATS server that made the snapshots.
	Server string `json:"nats_server"`
	// Streams are in the order of the file.
	Streams []Stream `json:"streams"`
}

// Stream is a stream of a backup.
type Stream struct {
	Name string `json:"name"`
	bus.StreamSnapshot
	// Events is how many events the ledger had, at least; left out for other streams, and where it couldn't be told.
	Events uint64 `json:"events,omitempty"`
	// Bytes and SHA256 are the snapshot's.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Ledger returns the ledger's part, and false of a manifest without it.
func (m Manifest) Ledger() (Stream, bool) {
	for _, s := range m.Streams {
		if s.Name == bus.LedgerStream {
			return s, true
		}
	}
	return Stream{}, false
}

// Write writes a backup of streams, such as [bus.Bus.Backed] names, to w. After an error w holds no backup.
func Write(ctx context.Context, b *bus.Bus, streams []string, w io.Writer) (Manifest, error) {
	archive := zip.NewWriter(w)
	m := Manifest{Format: Format, Made: time.Now().UTC().Truncate(time.Second), Server: b.Conn().ConnectedServerVersion()}
	for _, name := range streams {
		// They are compressed already.
		entry, err := archive.CreateHeader(&zip.FileHeader{Name: name + snapshotSuffix, Method: zip.Store, Modified: m.Made})
		if err != nil {
			return m, err
		}
		s, err := write(ctx, b, name, entry)
		if err != nil {
			return m, err
		}
		m.Streams = append(m.Streams, s)
	}
	entry, err := archive.CreateHeader(&zip.FileHeader{Name: manifestName, Method: zip.Deflate, Modified: m.Made})
	if err != nil {
		return m, err
	}
	enc := json.NewEncoder(entry)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		return m, err
	}
	return m, archive.Close()
}

func write(ctx context.Context, b *bus.Bus, name string, w io.Writer) (Stream, error) {
	sum, size := sha256.New(), &counter{}
	snapshot, err := b.SnapshotStream(ctx, name, io.MultiWriter(w, sum, size))
	if err != nil {
		return Stream{}, err
	}
	s := Stream{Name: name, StreamSnapshot: snapshot, Bytes: size.n, SHA256: hex.EncodeToString(sum.Sum(nil))}
	if name != bus.LedgerStream {
		return s, nil
	}
	state, err := snapshot.Read()
	if err != nil {
		return s, fmt.Errorf("read the state of stream %s: %w", name, err)
	}
	// Left at zero where events come too fast to be told apart.
	s.Events, _, err = b.EventsUpTo(ctx, state.Last)
	return s, err
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
