package revocation

import (
	"context"
	"io"
)

// Snapshots is a place where the snapshots of one deployment's replicas are kept: one at a time, the newest. Implementations are safe for
// concurrent use. They needn't understand what they keep: the replica checks what it reads, whoever wrote it.
type Snapshots interface {
	// Open returns the snapshot that is there. The caller closes it. fs.ErrNotExist, possibly wrapped, means that there is none. A reader
	// whose snapshot is replaced meanwhile reads the old one to its end, or gets an error.
	Open(ctx context.Context) (io.ReadCloser, error)
	// Save puts what write writes in the place of what was there, whole or not at all: if write or anything else fails, the old snapshot
	// stays. write is called once, and its error is returned as it is or wrapped.
	Save(ctx context.Context, write func(io.Writer) error) error
	// String names the place in hooks and logs. It holds no credentials.
	String() string
}
