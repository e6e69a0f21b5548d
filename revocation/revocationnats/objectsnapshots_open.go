package revocationnats

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Open returns the snapshot that is there. ctx bounds the reading too. Reading ends with an error, and not with io.EOF, if anything was missing or
// changed; what was read before may be anything.
func (s *Snapshots) Open(ctx context.Context) (io.ReadCloser, error) {
	_, o, err := s.find(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot %s: %w", s, err)
	}
	want, err := jetstream.DecodeObjectDigest(o.Digest)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot %s: %w: its entry has no digest", s, ErrSnapshotIncomplete)
	}
	r := &objectReader{s: s, object: o, want: want, digest: sha256.New()}
	r.ctx, r.cancel = context.WithCancel(ctx)
	if o.Chunks > 0 {
		err = r.begin()
	}
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// objectReader reads an object's chunks through a consumer of its own. It is used by one goroutine.
//
// nats.go's own Get isn't used: it gives a whole snapshot 5 seconds, or with a deadline waits for that one when a chunk is missing, and can't
// be closed meanwhile. Nor are a consumer's Messages: a window of few messages that is used up in an instant isn't asked for again.
type objectReader struct {
	s      *Snapshots
	object object
	// ctx is the reader's own, and ends what it has asked for.
	ctx    context.Context
	cancel context.CancelFunc
	// consumer is nil for an object without chunks.
	consumer jetstream.Consumer
	// batch is what was asked for last. One at a time: the server would deal out its messages to several in turn.
	batch jetstream.MessageBatch
	// end is how many chunks there are up to the end of the batch.
	end uint32
	// rest is what was received and not read yet.
	rest   []byte
	digest hash.Hash
	want   []byte
	chunks uint32
	bytes  uint64
	// largest is the size of the largest chunk so far.
	largest int
	// err is why nothing more is read.
	err error
}

// begin asks for the chunks. Not all of them need to be there yet: the consumer may live beside a copy of the bucket that lags behind.
func (r *objectReader) begin() error {
	ctx, cancel := context.WithTimeout(r.ctx, r.s.limits.question)
	defer cancel()
	var err error
	r.consumer, err = r.s.js.CreateConsumer(ctx, r.s.streamName(), jetstream.ConsumerConfig{
		FilterSubject: r.s.chunksTopic(r.object.NUID), AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return r.fault(err)
	}
	return r.ask()
}

// ask asks for the next batch. What an entry declares is only believed as far as it asks for less: room is made for all that is asked for, before anything
// of the snapshot was checked.
func (r *objectReader) ask() error {
	size := max(r.s.limits.chunk/8, r.largest)
	if o := r.object.Opts; o != nil && o.ChunkSize > 0 {
		size = max(size, int(o.ChunkSize))
	}
	n := uint32(1) // at first, for whoever only wants to look at the beginning
	if r.chunks > 0 {
		n = min(r.object.Chunks-r.chunks, uint32(max(r.s.limits.ahead/size, 1)))
	}
	var err error
	if r.batch, err = r.consumer.Fetch(int(n), jetstream.FetchContext(r.ctx)); err != nil {
		return r.fault(err)
	}
	r.end = r.chunks + n
	return nil
}

func (r *objectReader) fault(err error) error {
	return fmt.Errorf("read the snapshot %s: %w", r.s, err)
}

// Read implements [io.Reader].
func (r *objectReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		r.rest, r.err = r.next()
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// next returns the next chunk, or io.EOF if all of them were what was saved.
func (r *objectReader) next() ([]byte, error) {
	switch {
	case r.chunks < r.end:
	case r.end < r.object.Chunks:
		if err := r.ask(); err != nil {
			return nil, err
		}
	case r.bytes != r.object.Size || !bytes.Equal(r.digest.Sum(nil), r.want):
		return nil, r.fault(ErrSnapshotIncomplete)
	default:
		return nil, io.EOF
	}
	late := time.NewTimer(r.s.limits.stall)
	defer late.Stop()
	why := errStalled
	select {
	case msg, ok := <-r.batch.Messages():
		if ok {
			r.chunks++
			r.bytes += uint64(len(msg.Data()))
			r.largest = max(r.largest, len(msg.Data()))
			r.digest.Write(msg.Data())
			return msg.Data(), nil
		}
		why = r.batch.Error()
	case <-late.C:
	case <-r.ctx.Done():
	}
	if r.ctx.Err() != nil {
		return nil, r.fault(context.Cause(r.ctx))
	}
	return nil, r.fault(fmt.Errorf("%w: nothing more came after %d of %d chunks, which happens too when it is removed meanwhile (%v)",
		ErrSnapshotIncomplete, r.chunks, r.object.Chunks, why))
}

// Close gives the consumer back, which the server would do by itself in a minute. It always returns nil.
func (r *objectReader) Close() error {
	r.cancel()
	if r.consumer == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), 500*time.Millisecond)
	defer cancel()
	_ = r.s.js.DeleteConsumer(ctx, r.s.streamName(), r.consumer.CachedInfo().Name)
	r.consumer = nil
	return nil
}
