package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// snapshotChunk is what the server sends at once, and snapshotWindow how much of it may be under way.
	snapshotChunk, snapshotWindow = 128 << 10, 4 << 20
	// restoreChunk is what we send at once: little, because a server that syncs each message to the disk needs a while for it, and gives up if nothing comes for 5 s.
	restoreChunk = 32 << 10
	// snapshotAsk bounds the question for a snapshot, or for a restore. A server doesn't answer who has no right to ask.
	snapshotAsk = 5 * time.Second
	// snapshotSilence is how long the server may say nothing: it gives up after 5 s itself.
	snapshotSilence = 15 * time.Second
	// restoreEnd bounds what the server does with a snapshot once it has all of it.
	restoreEnd = 10 * time.Minute

	snapshotSubject = jetstream.DefaultAPIPrefix + "STREAM.SNAPSHOT."
	restoreSubject  = jetstream.DefaultAPIPrefix + "STREAM.RESTORE."
)

// StreamSnapshot is what the server says of a snapshot of a stream. Settings and state are the server's own words, so that nothing is lost of what another version says.
type StreamSnapshot struct {
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"`
}

// StreamState is what we read of a stream's state.
type StreamState struct {
	Messages uint64    `json:"messages"`
	First    uint64    `json:"first_seq"`
	Last     uint64    `json:"last_seq"`
	LastTime time.Time `json:"last_ts"`
}

// Read returns what we read of the state.
func (s StreamSnapshot) Read() (state StreamState, err error) {
	err = json.Unmarshal(s.State, &state)
	return state, err
}

type apiError struct {
	Error *jetstream.APIError `json:"error"`
}

// passing are the buckets whose entries go away by themselves.
func passing() []string {
	return []string{TicketsBucket().Name, LeasesBucket().Name, GatewaysBucket().Name}
}

// Backable returns the streams that a backup may hold, in the order in which they are written.
func Backable() []string {
	wanted := []string{ParkedStream}
	for _, bucket := range buckets() {
		if !slices.Contains(passing(), bucket.Name) {
			wanted = append(wanted, bucketStream+bucket.Name)
		}
	}
	return append(wanted, LedgerStream)
}

// Backed returns the streams that a backup holds, in the order in which they are written: the ledger, and with all also what else a deployment can't make anew. The ledger comes last, so that it has every event that
// the others have heard of. Those that aren't there are left out. Left out as well are what goes away by itself (leases, gateways, used tickets) and snapshots of replicas, which are of no use to another incarnation of the ledger.
func (b *Bus) Backed(ctx context.Context, all bool) ([]string, error) {
	wanted := Backable()
	if !all {
		wanted = []string{LedgerStream}
	}
	var there []string
	for _, name := range wanted {
		_, err := b.js.Stream(ctx, name)
		switch {
		case err == nil:
			there = append(there, name)
		case !errors.Is(err, jetstream.ErrStreamNotFound) || name == LedgerStream:
			return nil, streamError("look at stream "+name, err)
		}
	}
	return there, nil
}

// SnapshotStream writes JetStream's own snapshot of a stream to w, of which some MiB at most wait in memory for it. A writer that takes nothing for 5 s
// loses the snapshot. After an error what was written is no snapshot.
func (b *Bus) SnapshotStream(ctx context.Context, stream string, w io.Writer) (StreamSnapshot, error) {
	op := "back up stream " + stream
	chunks := make(chan *nats.Msg, 2*snapshotWindow/snapshotChunk)
	sub, err := b.nc.ChanSubscribe(b.nc.NewInbox(), chunks)
	if err != nil {
		return StreamSnapshot{}, streamError(op, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // which has the server stop
	var told struct {
		apiError
		StreamSnapshot
	}
	err = b.ask(ctx, snapshotSubject+stream, map[string]any{"deliver_subject": sub.Subject, "chunk_size": snapshotChunk, "window_size": snapshotWindow}, &told)
	if err == nil && told.Error != nil {
		err = told.Error
	}
	if err != nil {
		return StreamSnapshot{}, streamError(op, err)
	}
	for {
		chunk, err := nextChunk(ctx, chunks)
		if err != nil {
			return StreamSnapshot{}, fmt.Errorf("%s: %w", op, err)
		}
		if chunk == nil {
			return told.StreamSnapshot, nil
		}
		if _, err := w.Write(chunk.Data); err != nil {
			return StreamSnapshot{}, fmt.Errorf("%s: %w", op, err)
		}
		if chunk.Reply == "" {
			continue
		}
		if err := chunk.Respond(nil); err != nil {
			return StreamSnapshot{}, fmt.Errorf("%s: %w", op, err)
		}
	}
}

// nextChunk returns nil at the end of a snapshot.
func nextChunk(ctx context.Context, chunks <-chan *nats.Msg) (*nats.Msg, error) {
	silent := time.NewTimer(snapshotSilence)
	defer silent.Stop()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-silent.C:
		return nil, errors.New("the server says nothing")
	case chunk := <-chunks:
		if len(chunk.Data) > 0 {
			return chunk, nil
		}
		// Without a status ends one that was sent as a single chunk.
		if status := chunk.Header.Get("Status"); status != "204" && status != "" {
			return nil, fmt.Errorf("the server broke the snapshot off: %s %s", status, chunk.Header.Get("Description"))
		}
		return nil, nil
	}
}

// ask asks the server for something that nats.go has no call for.
func (b *Bus) ask(ctx context.Context, subject string, question, answer any) error {
	request, err := json.Marshal(question)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotAsk)
	defer cancel()
	msg, err := b.nc.RequestWithContext(ctx, subject, request)
	if err != nil {
		return err
	}
	return json.Unmarshal(msg.Data, answer)
}
