package revocationnats

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/natstest"
)

// store is a real server with an object store for snapshots.
type store struct {
	t   *testing.T
	srv *natstest.Server
	js  jetstream.JetStream
	obs jetstream.ObjectStore
}

// newStore makes the object store. MaxBytes 0 means no limit.
func newStore(t *testing.T, maxBytes int64, opts ...natstest.Option) *store {
	t.Helper()
	s := &store{t: t, srv: natstest.Start(t, opts...)}
	s.js = s.connect(s.srv.URL())
	var err error
	if s.obs, err = s.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: defaultBucket, MaxBytes: maxBytes}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *store) connect(url string, opts ...nats.Option) jetstream.JetStream {
	s.t.Helper()
	nc, err := nats.Connect(url, append(append(Options(s.t.Name()), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0)), opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

// snapshots returns the snapshots of the stream CURFEW, in chunks of 1,000 bytes of which four are under way.
func (s *store) snapshots() *Snapshots { return s.snapshotsOver(s.js, "") }

func (s *store) snapshotsOver(js jetstream.JetStream, stream string) *Snapshots {
	snapshots := NewSnapshots(js, SnapshotsConfig{Stream: stream})
	snapshots.limits.chunk, snapshots.limits.window, snapshots.limits.ahead = 1000, 4000, 8000
	return snapshots
}

// chunks counts the chunks in the bucket, by their topics.
func (s *store) chunks() map[string]uint64 {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), "OBJ_"+defaultBucket)
	if err != nil {
		s.t.Fatal(err)
	}
	info, err := stream.Info(s.t.Context(), jetstream.WithSubjectFilter("$O."+defaultBucket+".C.>"))
	if err != nil {
		s.t.Fatal(err)
	}
	return info.State.Subjects
}

// objects are the topics of the chunks.
func (s *store) objects() []string { return slices.Sorted(maps.Keys(s.chunks())) }

// consumers counts the consumers of the bucket.
func (s *store) consumers() int {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), "OBJ_"+defaultBucket)
	if err != nil {
		s.t.Fatal(err)
	}
	return stream.CachedInfo().State.Consumers
}

// content returns n bytes that differ by seed.
func content(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// pieces writes b in pieces of some size.
func pieces(b []byte, size int) func(io.Writer) error {
	return func(w io.Writer) error {
		for piece := range slices.Chunk(b, size) {
			if n, err := w.Write(piece); err != nil || n != len(piece) {
				return fmt.Errorf("wrote %d of %d: %w", n, len(piece), err)
			}
		}
		return nil
	}
}

func mustSave(t *testing.T, s *Snapshots, b []byte) {
	t.Helper()
	if err := s.Save(t.Context(), pieces(b, 777)); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, s *Snapshots) []byte {
	t.Helper()
	b, err := tryRead(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tryRead(ctx context.Context, s *Snapshots) ([]byte, error) {
	r, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// holds fails unless the snapshot is want.
func holds(t *testing.T, s *Snapshots, want []byte) {
	t.Helper()
	if got := mustRead(t, s); !bytes.Equal(got, want) {
		t.Errorf("read %d bytes that aren't the %d that were saved", len(got), len(want))
	}
}

// eventually polls until ok or the time is over.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// mentions reports whether err says all of the words.
func mentions(err error, words ...string) bool {
	return err != nil && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(err.Error(), w) })
}
