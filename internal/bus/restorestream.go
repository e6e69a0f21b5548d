package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nats-io/nats.go"
)

// RestoreStream makes a stream of a snapshot. The settings must name it. What an error leaves of the stream is to be deleted.
func (b *Bus) RestoreStream(ctx context.Context, stream string, snapshot StreamSnapshot, data io.Reader) error {
	op := "restore stream " + stream
	var told struct {
		apiError
		To string `json:"deliver_subject"`
	}
	err := b.ask(ctx, restoreSubject+stream, snapshot, &told)
	if err == nil && told.Error != nil {
		err = told.Error
	}
	if err != nil {
		return streamError(op, err)
	}
	sent := b.sendChunks(ctx, told.To, data)
	// Also after an error: the server then gives up at once, and what it has made of it can be deleted.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreEnd)
	defer cancel()
	if sent != nil {
		_, _ = b.nc.RequestWithContext(ending, told.To, nil)
		return streamError(op, sent)
	}
	answer, err := b.nc.RequestWithContext(ending, told.To, nil)
	if err == nil {
		err = refusedChunk(answer)
	}
	if err != nil {
		return streamError(op, err)
	}
	return nil
}

func (b *Bus) sendChunks(ctx context.Context, to string, data io.Reader) error {
	chunk := make([]byte, restoreChunk)
	for {
		n, err := io.ReadFull(data, chunk)
		if n > 0 {
			waiting, cancel := context.WithTimeout(ctx, snapshotSilence)
			answer, err := b.nc.RequestWithContext(waiting, to, chunk[:n])
			cancel()
			if err == nil {
				err = refusedChunk(answer)
			}
			if err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

func refusedChunk(answer *nats.Msg) error {
	var told apiError
	if len(answer.Data) == 0 {
		return nil
	}
	if err := json.Unmarshal(answer.Data, &told); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	if told.Error != nil {
		return told.Error
	}
	return nil
}
