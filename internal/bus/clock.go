package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Clock is how this process's clock stands to the one by which the ledger notes when an event was stored.
type Clock struct {
	// Ahead is by how much it is ahead, and negative if it is behind. The true value lies no further from it than Margin, which is half of what the question took.
	Ahead, Margin time.Duration
}

// Clock asks the ledger's leader for the time.
func (b *Bus) Clock(ctx context.Context) (Clock, error) {
	asked := time.Now()
	stream, err := b.js.Stream(ctx, LedgerStream)
	if err != nil {
		return Clock{}, streamError("ask stream "+LedgerStream+" for the time", err)
	}
	return clockFrom(asked, time.Now(), stream.CachedInfo())
}

// clockFrom compares what the server told with when it was asked and heard.
func clockFrom(asked, heard time.Time, info *jetstream.StreamInfo) (Clock, error) {
	if info.TimeStamp.IsZero() {
		return Clock{}, &Error{Op: "ask stream " + LedgerStream + " for the time", Err: errors.New("the NATS server doesn't tell it"), Hint: "update the NATS server: those from 2.10 on do"}
	}
	margin := heard.Sub(asked) / 2
	return Clock{Ahead: asked.Add(margin).Sub(info.TimeStamp), Margin: margin}, nil
}
