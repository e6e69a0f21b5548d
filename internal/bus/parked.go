package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
)

var (
	// ErrNotParked is returned for a position at which nothing is parked: it was put back, dropped or has expired, or isn't reached yet.
	ErrNotParked = errors.New("no parked message at this position")
	// ErrNoWayBack is returned for a parked message that doesn't tell where it came from.
	ErrNoWayBack = errors.New("it doesn't tell a topic and stream to be put back to")
)

// parkedWait bounds how long a list waits for the next message, which the server has already.
const parkedWait = 5 * time.Second

// Parked is a parked message.
type Parked struct {
	// Position in ParkedStream, and when it was stored there.
	Position uint64
	Stored   time.Time
	Reason   string
	// Topic and Stream are where it came from, and From its position there; empty and zero if it doesn't tell.
	Topic, Stream string
	From          uint64
	// Consumer couldn't deal with it, although it was delivered so often.
	Consumer   string
	Deliveries uint64
	// Bytes of its payload.
	Bytes int
	// Payload and Header are as it is parked. A list has none.
	Payload []byte
	Header  nats.Header
}

// ListParked calls fn for each parked message behind a position, in order, without their payloads, until fn returns false or there are no more.
func (b *Bus) ListParked(ctx context.Context, after uint64, fn func(Parked) bool) error {
	stream, err := b.js.Stream(ctx, ParkedStream)
	if err != nil {
		return fmt.Errorf("list parked messages: %w", err)
	}
	cons, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1, AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, Replicas: 1,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("list parked messages: %w", err)
	}
	defer func() {
		forgetting, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = stream.DeleteConsumer(forgetting, cons.CachedInfo().Name) // the server forgets it in a minute
	}()
	for left := cons.CachedInfo().NumPending; left > 0; left-- {
		waiting, cancel := context.WithTimeout(ctx, parkedWait)
		msg, err := cons.Next(jetstream.FetchContext(waiting))
		cancel()
		if err != nil {
			return fmt.Errorf("list parked messages: %w", err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("list parked messages: %w", err)
		}
		p := parkedOf(meta.Sequence.Stream, meta.Timestamp, msg.Headers())
		p.Header = nil
		p.Bytes, _ = strconv.Atoi(msg.Headers().Get("Nats-Msg-Size"))
		if !fn(p) {
			return nil
		}
	}
	return nil
}

// ParkedAt returns the message that is parked at a position, or ErrNotParked.
func (b *Bus) ParkedAt(ctx context.Context, position uint64) (Parked, error) {
	stream, err := b.js.Stream(ctx, ParkedStream)
	if err != nil {
		return Parked{}, fmt.Errorf("parked message %d: %w", position, err)
	}
	msg, err := stream.GetMsg(ctx, position)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		err = ErrNotParked
	}
	if err != nil {
		return Parked{}, fmt.Errorf("parked message %d: %w", position, err)
	}
	p := parkedOf(msg.Sequence, msg.Time, msg.Header)
	p.Payload, p.Bytes = msg.Data, len(msg.Data)
	return p, nil
}

func parkedOf(position uint64, stored time.Time, h nats.Header) Parked {
	p := Parked{
		Position: position, Stored: stored.UTC(), Reason: h.Get(ParkedReasonHeader), Topic: h.Get(ParkedTopicHeader), Stream: h.Get(ParkedStreamHeader),
		Consumer: h.Get(ParkedConsumerHeader), Header: h,
	}
	// What can't be read is as good as what isn't there.
	p.From, _ = strconv.ParseUint(h.Get(ParkedPositionHeader), 10, 64)
	p.Deliveries, _ = strconv.ParseUint(h.Get(ParkedDeliveriesHeader), 10, 64)
	return p
}

// DropParked deletes a parked message for good, so that nothing of it can be read from the disk either, or returns ErrNotParked.
func (b *Bus) DropParked(ctx context.Context, position uint64) error {
	stream, err := b.js.Stream(ctx, ParkedStream)
	if err == nil {
		err = stream.SecureDeleteMsg(ctx, position)
	}
	if err == nil {
		return nil
	}
	// The server has no word of its own for a message that isn't there.
	if _, gone := b.ParkedAt(ctx, position); errors.Is(gone, ErrNotParked) {
		err = ErrNotParked
	}
	return fmt.Errorf("drop parked message %d: %w", position, err)
}

// RetryParked puts a parked message back to the topic and stream that it came from, where every consumer gets it once more, and drops it once it is stored there. A ledger's event is marked as replayed, so that no browser is told of
// it again. It returns ErrNotParked, or ErrNoWayBack. Any other error is of the storing, an ErrNotStored or ErrUnknownOutcome, and the message stays parked; or, with a position, of the dropping. Then another try stores nothing
// within the duplicate window, and a copy after that.
func (b *Bus) RetryParked(ctx context.Context, position uint64) (Ack, error) {
	p, err := b.ParkedAt(ctx, position)
	if err != nil {
		return Ack{}, err
	}
	if p.Topic == "" || p.Stream == "" || p.Stream == ParkedStream || checkTopic(p.Topic) != nil {
		return Ack{}, fmt.Errorf("parked message %d: %w", position, ErrNoWayBack)
	}
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	ack, err := b.js.PublishMsg(ctx, p.message(), jetstream.WithExpectStream(p.Stream), jetstream.WithRetryAttempts(0))
	if err != nil {
		kind, _ := classify(err)
		return Ack{}, fmt.Errorf("put parked message %d back: %w: %w", position, kind, err)
	}
	stored := Ack{Position: ack.Sequence, Duplicate: ack.Duplicate, Stream: ack.Stream}
	if err := b.DropParked(ctx, position); err != nil && !errors.Is(err, ErrNotParked) {
		return stored, err
	}
	return stored, nil
}

// message is the message as it was before it was parked.
func (p Parked) message() *nats.Msg {
	header := make(nats.Header, len(p.Header))
	for key, values := range p.Header {
		if !strings.HasPrefix(key, parkedHeaders) && !reserved(key) {
			header[key] = values
		}
	}
	if id := p.Header.Get(ParkedMsgIDHeader); id != "" && header.Get(UUIDHeader) == "" {
		header.Set(UUIDHeader, id)
	}
	// The same for each try, and another one than it had, by which a stream within its duplicate window would take it for stored.
	header[MsgIDKey] = []string{fmt.Sprintf("unparked/%d/%d", p.Position, p.Stored.UnixNano())}
	return &nats.Msg{Subject: p.Topic, Header: header, Data: p.replayed()}
}

// replayed returns the payload; that of an event with the mark of a replay.
func (p Parked) replayed() []byte {
	e, err := events.DecodeMessage(p.Topic, p.Payload)
	if err != nil || e.Meta().Replay != "" {
		return p.Payload
	}
	e.Meta().Replay = fmt.Sprintf("parked-%d", p.Position)
	data, err := events.Encode(e)
	if err != nil {
		return p.Payload
	}
	return data
}
