package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/telemetry"
)

// Headers of a parked message. Its payload and its other headers are those it had, except for what NATS would obey.
const (
	ParkedReasonHeader     = "Curfew-Parked-Reason"     // why, at most 1 KiB, one line
	ParkedTopicHeader      = "Curfew-Parked-Topic"      // where it was published
	ParkedStreamHeader     = "Curfew-Parked-Stream"     // its stream
	ParkedPositionHeader   = "Curfew-Parked-Position"   // its sequence there
	ParkedConsumerHeader   = "Curfew-Parked-Consumer"   // who couldn't deal with it
	ParkedDeliveriesHeader = "Curfew-Parked-Deliveries" // how often it was delivered
	ParkedAtHeader         = "Curfew-Parked-At"         // when, RFC 3339 in UTC
	ParkedMsgIDHeader      = "Curfew-Parked-Msg-Id"     // the message id it was published with

	// parkedHeaders begins all of them.
	parkedHeaders  = "Curfew-Parked-"
	maxReasonBytes = 1024
	// ephemeralName stands for the durable in the topic of what an ephemeral consumer parks.
	ephemeralName = "ephemeral"
)

// ErrPoison is what every error from Poison is.
var ErrPoison = errors.New("poison message")

// Poison marks a handler's error as final: trying again can't help, so the message is to be parked at once. Poison(nil) is nil.
func Poison(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrPoison, err)
}

// Parker puts poison messages aside on ParkedStream. It is safe for concurrent use.
type Parker struct{ bus *Bus }

// Parker returns the parker of the Bus.
func (b *Bus) Parker() *Parker { return b.parker }

// Park stores a message from a [Subscriber] on curfew.parked.<durable> with its reason and waits for the acknowledgement, at
// most 5 s. The same message parked again by the same durable within the duplicate window is stored once. It doesn't
// acknowledge the message. The reason is kept for months: it must hold no secrets. A failure is counted, and is the caller's to log.
func (p *Parker) Park(ctx context.Context, msg *message.Message, reason error) (Ack, error) {
	d, ok := DeliveryOf(msg)
	if !ok {
		return Ack{}, fmt.Errorf("park: %w: it didn't come from a subscriber", ErrInvalid)
	}
	return p.park(ctx, d, reason)
}

func (p *Parker) park(ctx context.Context, d Delivery, reason error) (Ack, error) {
	ctx, cancel := context.WithTimeout(ctx, defaultPublishTimeout)
	defer cancel()
	// ExpectStream keeps a message from landing in a stream that happens to take the topic.
	ack, err := p.bus.js.PublishMsg(ctx, parkedMessage(d, reason, time.Now()), jetstream.WithExpectStream(ParkedStream))
	if err != nil {
		p.bus.stats.parkFailures.Add(1)
		kind, _ := classify(err)
		return Ack{}, fmt.Errorf("park: %w: %w", kind, err)
	}
	if !ack.Duplicate {
		p.bus.stats.parked.Add(1)
		p.bus.log(d).WithField("reason", oneLine(reason)).Error("poison message parked")
	}
	return Ack{Position: ack.Sequence, Duplicate: ack.Duplicate, Stream: ack.Stream}, nil
}

// log returns the log for what concerns one delivery.
func (b *Bus) log(d Delivery) logrus.FieldLogger {
	return b.cfg.Log.WithField("consumer", d.Consumer).WithField(telemetry.FieldPosition, d.Position)
}

// parkedMessage is the message with its reason. What NATS obeys is left out of its headers: a TTL would expire it here, and
// its own message id would keep a second durable from parking it too.
func parkedMessage(d Delivery, reason error, now time.Time) *nats.Msg {
	header := make(nats.Header, len(d.Header)+9)
	for key, values := range d.Header {
		if !reserved(key) {
			header[key] = values
		}
	}
	name := d.durable
	setDefault(&name, ephemeralName)
	header[ParkedReasonHeader] = []string{oneLine(reason)}
	header[ParkedTopicHeader] = []string{d.Topic}
	header[ParkedStreamHeader] = []string{d.Stream}
	header[ParkedPositionHeader] = []string{strconv.FormatUint(d.Position, 10)}
	header[ParkedConsumerHeader] = []string{d.Consumer}
	header[ParkedDeliveriesHeader] = []string{strconv.FormatUint(d.Deliveries, 10)}
	header[ParkedAtHeader] = []string{now.UTC().Format(time.RFC3339)}
	if id := d.Header[MsgIDKey]; len(id) > 0 {
		header[ParkedMsgIDHeader] = id
	}
	header[MsgIDKey] = []string{fmt.Sprintf("parked/%s/%s/%d", name, d.Stream, d.Position)}
	return &nats.Msg{Subject: parkedPrefix + name, Header: header, Data: d.Payload}
}

// oneLine makes a header value of a reason.
func oneLine(reason error) string {
	if reason == nil {
		return "no reason given"
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(reason.Error(), "?"))
	if len(text) > maxReasonBytes {
		text = strings.ToValidUTF8(text[:maxReasonBytes], "") + "…"
	}
	return text
}

// ParkPoison is a Watermill middleware. When the handler's error is from [Poison], or comes on the message's last delivery,
// the message is parked with that error as its reason, and the middleware reports success, so that the router acknowledges.
// If parking fails, it returns both errors and the message is delivered again. Messages that didn't come from a [Subscriber]
// pass through. Add it before Retry and Recoverer, so that it is around them.
func ParkPoison(parker *Parker) message.HandlerMiddleware {
	return func(handle message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			produced, err := handle(msg)
			if err == nil {
				return produced, nil
			}
			d, ok := DeliveryOf(msg)
			if !ok || !d.Last() && !errors.Is(err, ErrPoison) {
				return produced, err
			}
			// The message's own context may be over, by AckWait or because it failed for that.
			if _, parkErr := parker.park(context.WithoutCancel(msg.Context()), d, err); parkErr != nil {
				return nil, errors.Join(err, parkErr)
			}
			return nil, nil
		}
	}
}
