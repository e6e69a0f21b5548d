package revocation

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
)

// memory is a snapshot in memory.
type memory []byte

func (memory) String() string { return "memory" }
func (m memory) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m)), nil
}
func (memory) Save(context.Context, func(io.Writer) error) error { return errors.ErrUnsupported }

func writtenBy(t *testing.T, r *Replica) []byte {
	t.Helper()
	h, err := r.header(r.set.Load())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.set.Load().write(t.Context(), &b, &h); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
