package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Error codes of JetStream that nats.go has no name for, from nats-server's server/errors.json.
const (
	codeAccountResources  jetstream.ErrorCode = 10002
	codeNoSuitablePeers   jetstream.ErrorCode = 10005
	codeNoLeader          jetstream.ErrorCode = 10008
	codeNoResources       jetstream.ErrorCode = 10023
	codeMemoryExceeded    jetstream.ErrorCode = 10028
	codeStorageExceeded   jetstream.ErrorCode = 10047
	codeStoreFailed       jetstream.ErrorCode = 10077
	codeSubjectOverlap    jetstream.ErrorCode = 10065
	codeHeaderTooLarge    jetstream.ErrorCode = 10097
	codeRestoreFailed     jetstream.ErrorCode = 10062
	codeStreamSealed      jetstream.ErrorCode = 10109
	codeMessageTTLInvalid jetstream.ErrorCode = 10165
)

// diskReserve is what the embedded server's disk must have left for a publish to be tried. When a write does fail for lack
// of space, nats-server answers nothing and refuses the stream until it is restarted, even after room was made; stopping
// short of that keeps the ledger usable.
const diskReserve = 4 << 20

// outcome turns what nats.go said about a publish into our errors. It is the only place that does. Whatever isn't known to
// mean "not stored" is an unknown outcome, never the other way round.
func (p *Publisher) outcome(topic string, err error) error {
	if err == nil {
		return nil
	}
	kind, detail := classify(err)
	if errors.Is(kind, ErrUnknownOutcome) && p.bus.diskLow(diskReserve) {
		detail = fmt.Errorf("%w: the disk of %s has no space left: free some, then restart curfew", ErrFull, p.bus.cfg.Embedded.Dir)
	}
	if detail == nil {
		detail = err
	} else {
		detail = fmt.Errorf("%w: %w", detail, err)
	}
	p.bus.countFailure(kind, errors.Is(detail, ErrFull))
	return fmt.Errorf("publish %s: %w: %w", topic, kind, detail)
}

// classify returns ErrNotStored or ErrUnknownOutcome, and what more there is to say.
func classify(err error) (kind, detail error) {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, errBeforeSending), errors.Is(err, ErrInvalid):
		return ErrNotStored, nil
	case errors.As(err, &api):
		return classifyRefusal(api)
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrHeadersNotSupported):
		return ErrNotStored, ErrInvalid
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return ErrNotStored, errors.New("no stream takes this topic, or its leader is being elected")
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionReconnecting):
		return ErrNotStored, errors.New("the connection to NATS is down")
	case errors.Is(err, nats.ErrConnectionDraining), errors.Is(err, nats.ErrInvalidConnection):
		return ErrNotStored, ErrClosed
	case errors.Is(err, jetstream.ErrTooManyStalledMsgs):
		return ErrNotStored, errors.New("too many publishes are waiting for their acknowledgement")
	case errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrConnectionClosed):
		return ErrUnknownOutcome, errors.New("the connection was lost before the acknowledgement")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return ErrUnknownOutcome, errors.New("no acknowledgement in time")
	}
	return ErrUnknownOutcome, nil
}

// classifyRefusal reads an answer of the stream's leader.
func classifyRefusal(api *jetstream.APIError) (kind, detail error) {
	switch api.ErrorCode {
	case codeNoResources, codeStorageExceeded, codeMemoryExceeded, codeAccountResources:
		return ErrNotStored, fmt.Errorf("%w: JetStream has reached its limit on the server: give it more space", ErrFull)
	case jetstream.JSErrCodeStreamMessageExceedsMaximum, codeHeaderTooLarge, codeMessageTTLInvalid:
		return ErrNotStored, ErrInvalid
	case codeStreamSealed:
		return ErrNotStored, fmt.Errorf("%w: the stream is sealed", ErrFull)
	case codeStoreFailed:
		// One code for everything that can go wrong while storing; only its text tells a full stream from a broken disk.
		if strings.Contains(api.Description, "maximum bytes exceeded") || strings.Contains(api.Description, "maximum messages") {
			return ErrNotStored, fmt.Errorf("%w: the stream has reached its limit: raise max bytes, or wait until old events expire", ErrFull)
		}
		return ErrUnknownOutcome, errors.New("the server couldn't write")
	}
	return ErrNotStored, nil
}

// errBeforeSending marks failures of our own that happened before anything was sent.
var errBeforeSending = errors.New("nothing was sent")

// diskLow reports whether the embedded server's disk has less than reserve bytes left. An external server's disk isn't ours
// to see.
func (b *Bus) diskLow(reserve int64) bool {
	if b.embedded == nil {
		return false
	}
	free, err := freeBytes(b.cfg.Embedded.Dir)
	return err == nil && free < reserve
}

func (b *Bus) countFailure(kind error, full bool) {
	if full {
		b.stats.full.Add(1)
	}
	if errors.Is(kind, ErrNotStored) {
		b.stats.notStored.Add(1)
		return
	}
	b.stats.unknown.Add(1)
}
