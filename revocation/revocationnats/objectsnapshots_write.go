package revocationnats

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// errStalled is returned when NATS has neither stored nor sent anything for too long.
var errStalled = errors.New("NATS doesn't answer")

// errDisorder is returned when the server has stored chunks in another order than they were sent.
var errDisorder = errors.New("chunks were stored out of order")

// objectWriter cuts what is written into chunks and stores them. It is used by one goroutine.
//
// nats.go's own Put isn't used: it has up to 4,000 chunks under way, which lie in the server's memory, takes each piece that a pipe gives it for a
// chunk, sends a chunk that found no server again after later ones, and doesn't remove chunks when its context has ended.
type objectWriter struct {
	s   *Snapshots
	ctx context.Context
	// id names the chunks.
	id, topic string
	// chunk holds what fills the next one. It is used again once it was sent: nats.go has copied it.
	chunk  []byte
	digest hash.Hash
	chunks uint32
	bytes  uint64
	// underWay are the chunks that aren't acknowledged yet, oldest first, and at most window of them.
	underWay []jetstream.PubAckFuture
	window   int
	// last is the position of the last that is.
	last uint64
	// err is the first error. Nothing is sent after it.
	err error
}

func (s *Snapshots) newWriter(ctx context.Context, id string) *objectWriter {
	size := s.limits.chunk
	if most := s.js.Conn().MaxPayload(); most > 0 && most < int64(size) {
		size = int(most)
	}
	return &objectWriter{
		s: s, ctx: ctx, id: id, topic: s.chunksTopic(id), chunk: make([]byte, 0, size), digest: sha256.New(), window: max(s.limits.window/size, 2),
	}
}

// fill lets write write, and waits until all of it is stored.
func (w *objectWriter) fill(write func(io.Writer) error) error {
	if err := write(w); err != nil {
		return err
	}
	w.send()
	for w.err == nil && len(w.underWay) > 0 {
		w.acknowledged()
	}
	return w.err
}

// Write implements [io.Writer].
func (w *objectWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 && w.err == nil {
		room := min(cap(w.chunk)-len(w.chunk), len(p))
		w.chunk = append(w.chunk, p[:room]...)
		p, n = p[room:], n+room
		if len(w.chunk) == cap(w.chunk) {
			w.send()
		}
	}
	return n, w.err
}

// send sends the chunk, once there is room in the window.
func (w *objectWriter) send() {
	if len(w.underWay) == w.window {
		w.acknowledged()
	}
	if w.err == nil && w.ctx.Err() != nil {
		w.err = context.Cause(w.ctx)
	}
	if w.err != nil || len(w.chunk) == 0 {
		return
	}
	w.digest.Write(w.chunk)
	// A chunk that is sent again by itself would come after later ones.
	ack, err := w.s.js.PublishMsgAsync(&nats.Msg{Subject: w.topic, Data: w.chunk}, jetstream.WithRetryAttempts(0))
	if err != nil {
		w.err = err
		return
	}
	w.underWay = append(w.underWay, ack)
	w.chunks++
	w.bytes += uint64(len(w.chunk))
	w.chunk = w.chunk[:0]
}

// acknowledged waits until the oldest chunk that is under way is stored.
func (w *objectWriter) acknowledged() {
	oldest := w.underWay[0]
	w.underWay = w.underWay[1:]
	var ack *jetstream.PubAck
	if ack, w.err = await(w.ctx, oldest, w.s.limits.stall); w.err != nil {
		return
	}
	if ack.Sequence <= w.last {
		w.err = errDisorder
	}
	w.last = ack.Sequence
}

func await(ctx context.Context, f jetstream.PubAckFuture, patience time.Duration) (*jetstream.PubAck, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case ack := <-f.Ok():
		return ack, nil
	case err := <-f.Err():
		return nil, err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-late.C:
		return nil, errStalled
	}
}

// remove removes the chunks, within a few seconds, also when ctx has ended. What can't be removed now is for a later Save.
func (w *objectWriter) remove(ctx context.Context, stream jetstream.Stream) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.s.limits.question)
	defer cancel()
	// The server removes at once and stores in turn, so what is under way would come afterwards.
	for _, f := range w.underWay {
		if _, err := await(ctx, f, w.s.limits.question); ctx.Err() != nil || errors.Is(err, nats.ErrDisconnected) {
			return
		}
	}
	_ = stream.Purge(ctx, jetstream.WithPurgeSubject(w.topic))
}

// info is the object's entry.
func (w *objectWriter) info() jetstream.ObjectInfo {
	return jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{
			Name: w.s.cfg.Stream, Description: "a replica's state, to start from", Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(cap(w.chunk))},
		},
		Bucket: w.s.cfg.Bucket, NUID: w.id, Size: w.bytes, Chunks: w.chunks,
		Digest: digestPrefix + base64.URLEncoding.EncodeToString(w.digest.Sum(nil)),
	}
}

// digestPrefix begins an object's digest.
const digestPrefix = "SHA-256="
