package publisher

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// headerRequest carries a keyed hash of the request, by which a repeated Idempotency-Key is held to the request that it was first used for.
const headerRequest = "Curfew-Request"

// errKeyReused is returned when an Idempotency-Key comes again with another request.
var errKeyReused = errors.New("idempotency key was used for another request")

// store publishes the events and waits for the stream's acknowledgements.
func (s *Service) store(r *http.Request, key access.Key, c call, batch []Revocation, evs []events.Event) ([]Receipt, problem.Problem) {
	topics := make([]string, len(evs))
	msgs := make([]*message.Message, len(evs))
	for i, e := range evs {
		data, err := events.Encode(e)
		if err != nil {
			return nil, problem.New(http.StatusUnprocessableEntity, "invalid_request", err.Error())
		}
		if len(data) > maxMessageBytes {
			return nil, problem.New(http.StatusUnprocessableEntity, "event_too_large", "The revocation is too large for one event: name fewer known_sessions and send the rest in another call.")
		}
		msgs[i] = message.NewMessage(e.Meta().ID, data)
		msgs[i].Metadata.Set("Content-Type", events.ContentType)
		msgs[i].Metadata.Set(bus.MsgIDKey, s.messageID(key, c, i, e))
		msgs[i].Metadata.Set(headerRequest, s.requestHash(batch[i]))
		topics[i] = events.TopicOf(e).String()
	}
	// The caller going away doesn't call the logout off.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), c.timeout)
	defer cancel()
	began := time.Now()
	acks, errs := s.publish(ctx, topics, msgs)
	s.cfg.Metrics.PublishSeconds.Observe(time.Since(began).Seconds())
	return s.settle(ctx, key, c, evs, msgs, acks, errs)
}

// maxMessageBytes keeps an event and its headers below NATS's default limit of 1 MiB.
const maxMessageBytes = 1<<20 - 16<<10

func (s *Service) publish(ctx context.Context, topics []string, msgs []*message.Message) ([]bus.Ack, []error) {
	if len(msgs) == 1 {
		ack, err := s.cfg.Stream.PublishAck(ctx, topics[0], msgs[0])
		return []bus.Ack{ack}, []error{err}
	}
	return s.cfg.Stream.PublishAll(ctx, topics, msgs)
}

// settle turns acknowledgements into receipts, or the first trouble into a problem that says how much is stored.
func (s *Service) settle(ctx context.Context, key access.Key, c call, evs []events.Event, msgs []*message.Message, acks []bus.Ack, errs []error) ([]Receipt, problem.Problem) {
	receipts := make([]Receipt, len(evs))
	var trouble error
	stored := 0
	for i, e := range evs {
		err := errs[i]
		if err == nil && acks[i].Duplicate {
			e, err = s.original(ctx, acks[i].Position, msgs[i].Metadata.Get(headerRequest))
		}
		s.count(key, evs[i], acks[i], err)
		if err != nil {
			if trouble == nil || errors.Is(err, bus.ErrUnknownOutcome) {
				trouble = err
			}
			continue
		}
		stored++
		receipts[i] = receiptOf(e, acks[i].Position, acks[i].Duplicate)
	}
	if trouble != nil {
		return nil, problemOf(trouble, stored, len(evs), c)
	}
	return receipts, problem.Problem{}
}

// original returns the event that an earlier call with the same Idempotency-Key stored.
func (s *Service) original(ctx context.Context, position uint64, want string) (events.Event, error) {
	msg, err := s.cfg.EventAt(ctx, position)
	if err != nil {
		// The event is stored; only what it says couldn't be read. Calling again gives the answer.
		return nil, fmt.Errorf("%w: read the stored event: %w", bus.ErrUnknownOutcome, err)
	}
	if msg.Header.Get(headerRequest) != want {
		return nil, errKeyReused
	}
	return events.DecodeMessage(msg.Subject, msg.Data)
}

// problemOf maps the outcome of a publish to an answer, in this one place.
func problemOf(err error, stored, all int, c call) problem.Problem {
	again := "Call again with the same Idempotency-Key: it gives one event."
	if c.idempotencyKey == "" {
		again = "Call again, best with an Idempotency-Key: a second event of the same revocation changes nothing."
	}
	if all > 1 {
		again = strconv.Itoa(stored) + " of " + strconv.Itoa(all) + " revocations are stored. " + again
	}
	switch {
	case errors.Is(err, errKeyReused):
		return problem.New(http.StatusConflict, "idempotency_key_reused", "This Idempotency-Key was used for another request within the last 10 minutes: use a new key for a new request.")
	case errors.Is(err, bus.ErrFull):
		return problem.Unavailable("ledger_full", "Not stored: the ledger is full. Give it more room (disk, or the stream's MaxBytes); 'curfew doctor' shows both. "+again, 5*time.Second)
	case errors.Is(err, bus.ErrUnknownOutcome):
		return problem.Unavailable("outcome_unknown", "The stream didn't acknowledge in time, so it is unknown whether it was stored. "+again, time.Second)
	}
	return problem.Unavailable("not_stored", "Not stored: the stream can't be reached or refused it. 'curfew doctor' tells why. "+again, time.Second)
}

// count counts and logs the outcome of one event where it is decided.
func (s *Service) count(key access.Key, e events.Event, ack bus.Ack, err error) {
	result := "stored"
	switch {
	case err == nil && ack.Duplicate:
		result = "duplicate"
	case err == nil:
	case errors.Is(err, errKeyReused):
		result = "refused"
	case errors.Is(err, bus.ErrUnknownOutcome):
		result = "unknown"
	default:
		result = "not_stored"
	}
	s.cfg.Metrics.Published.WithLabelValues(events.Name(e), result).Inc()
	m := e.Meta()
	log := s.cfg.Log.WithFields(logrus.Fields{
		telemetry.FieldEvent: m.ID, telemetry.FieldType: events.Name(e), telemetry.FieldTenant: m.Tenant, telemetry.FieldKey: key.ID,
		telemetry.FieldPosition: ack.Position, telemetry.FieldUserHash: s.cfg.Hasher.ID(m.Tenant, "user", e.UserID()),
	})
	if err != nil {
		log.WithError(err).WithField("result", result).Error("revocation wasn't stored")
		return
	}
	log.WithField("result", result).Info("revocation stored")
}

// messageID is the id by which the stream recognises a repeated call. It is deduplicated stream-wide, so whoever guesses one suppresses
// somebody else's revocation: it is bound to the API key and keyed with the deployment's secret.
func (s *Service) messageID(key access.Key, c call, index int, e events.Event) string {
	if c.idempotencyKey == "" {
		return key.ID + "/" + e.Meta().ID
	}
	mac := hmac.New(sha256.New, s.cfg.MessageKey)
	_, _ = fmt.Fprintf(mac, "id\x00%s\x00%d\x00%s", key.ID, index, c.idempotencyKey)
	return key.ID + "/" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// requestHash is a keyed hash of what was asked for, in the order of the struct's members.
func (s *Service) requestHash(q Revocation) string {
	mac := hmac.New(sha256.New, s.cfg.MessageKey)
	_, _ = fmt.Fprintf(mac, "request\x00%s", canonical(q))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
