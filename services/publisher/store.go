package publisher

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
func (s *Service) store(r *http.Request, key access.Key, c call, batch []Revocation, evs []events.Event) ([]Stored, problem.Problem) {
	pub := publication{key: key, call: c, evs: evs, topics: make([]string, len(evs)), msgs: make([]*message.Message, len(evs)), request: s.requestHash(batch)}
	for i, e := range evs {
		data, err := events.Encode(e)
		if err != nil {
			return nil, problem.New(http.StatusUnprocessableEntity, "invalid_request", err.Error())
		}
		pub.msgs[i] = message.NewMessage(e.Meta().ID, data)
		pub.msgs[i].Metadata.Set("Content-Type", events.ContentType)
		pub.msgs[i].Metadata.Set(bus.MsgIDKey, s.messageID(key, c, i, e))
		pub.msgs[i].Metadata.Set(headerRequest, pub.request)
		pub.topics[i] = events.TopicOf(e).String()
	}
	// The caller going away doesn't call the logout off.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), c.timeout)
	defer cancel()
	answers, p := s.settle(pub, s.publish(ctx, pub))
	if p.Status == 0 && s.inVain(ctx, answers) {
		return nil, clockAhead()
	}
	return answers, p
}

// publication is one call on its way to the stream. Its slices have one entry for each event.
type publication struct {
	key    access.Key
	call   call
	evs    []events.Event
	topics []string
	msgs   []*message.Message
	// request is the hash of the whole call.
	request string
}

// outcome is what became of one event: stored holds what lies in the stream, which for a repeated call is the first call's event.
type outcome struct {
	ack    bus.Ack
	stored events.Event
	err    error
}

// publish stores the events. With an Idempotency-Key the first goes ahead of the others: whether the key stands for this call is known before
// anything else is stored.
func (s *Service) publish(ctx context.Context, pub publication) []outcome {
	began := time.Now()
	defer func() { s.cfg.Metrics.PublishSeconds.Observe(time.Since(began).Seconds()) }()
	out := make([]outcome, len(pub.evs))
	rest := 0
	if len(pub.evs) == 1 || pub.call.idempotencyKey != "" {
		ack, err := s.cfg.Stream.PublishAck(ctx, pub.topics[0], pub.msgs[0])
		out[0] = s.outcomeOf(ctx, pub, 0, ack, err)
		if out[0].err != nil {
			for i := range out {
				out[i].err = out[0].err
			}
			return out
		}
		rest = 1
	}
	if rest == len(pub.evs) {
		return out
	}
	acks, errs := s.cfg.Stream.PublishAll(ctx, pub.topics[rest:], pub.msgs[rest:])
	for i := range acks {
		out[rest+i] = s.outcomeOf(ctx, pub, rest+i, acks[i], errs[i])
	}
	return out
}

func (s *Service) outcomeOf(ctx context.Context, pub publication, i int, ack bus.Ack, err error) outcome {
	o := outcome{ack: ack, stored: pub.evs[i], err: err}
	if err == nil && ack.Duplicate {
		o.stored, o.err = s.original(ctx, ack.Position, pub.request)
	}
	return o
}

// settle turns outcomes into answers, or the worst of them into a problem that says how much is stored.
func (s *Service) settle(pub publication, outcomes []outcome) ([]Stored, problem.Problem) {
	answers := make([]Stored, len(outcomes))
	var trouble error
	stored := 0
	for i, o := range outcomes {
		s.count(pub.key, pub.evs[i], o)
		if o.err != nil {
			if trouble == nil || errors.Is(o.err, bus.ErrUnknownOutcome) {
				trouble = o.err
			}
			continue
		}
		stored++
		answers[i] = storedOf(o.stored, o.ack.Position, o.ack.Duplicate)
	}
	if trouble != nil {
		return nil, problemOf(trouble, stored, len(outcomes), pub.call)
	}
	return answers, problem.Problem{}
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
		return problem.New(http.StatusConflict, "idempotency_key_reused", "Nothing was stored: this Idempotency-Key was used for another request within the last 10 minutes. Use a new key for a new request.")
	// Before the others: an outcome that is unknown stays unknown whatever else is known of it.
	case errors.Is(err, bus.ErrUnknownOutcome):
		return problem.Unavailable("outcome_unknown", "The stream didn't acknowledge in time, so it is unknown whether it was stored. "+again, time.Second)
	case errors.Is(err, bus.ErrFull):
		return problem.Unavailable("ledger_full", "Not stored: the ledger is full. Give it more room (disk, or the stream's MaxBytes); 'curfew doctor' shows both. "+again, 5*time.Second)
	case errors.Is(err, bus.ErrInvalid):
		return problem.New(http.StatusUnprocessableEntity, "event_too_large", "Not stored: the event is larger than NATS takes. Name fewer known_sessions and send the rest in another call, or raise max_payload.")
	}
	return problem.Unavailable("not_stored", "Not stored: the stream can't be reached or refused it. 'curfew doctor' tells why. "+again, time.Second)
}

// count counts and logs the outcome of one event where it is decided. asked is what the call asked for.
func (s *Service) count(key access.Key, asked events.Event, o outcome) {
	result := "stored"
	switch {
	case o.err == nil && o.ack.Duplicate:
		result = "duplicate"
	case o.err == nil:
	case errors.Is(o.err, errKeyReused):
		result = "refused"
	case errors.Is(o.err, bus.ErrUnknownOutcome):
		result = "unknown"
	default:
		result = "not_stored"
	}
	s.cfg.Metrics.Published.WithLabelValues(events.Name(asked), result).Inc()
	e := asked
	if o.stored != nil {
		// Of a repeated call it is the first one's event that can be found in the ledger.
		e = o.stored
	}
	m := e.Meta()
	log := s.cfg.Log.WithFields(logrus.Fields{
		telemetry.FieldEvent: m.ID, telemetry.FieldType: events.Name(e), telemetry.FieldTenant: m.Tenant, telemetry.FieldKey: key.ID,
		telemetry.FieldPosition: o.ack.Position, telemetry.FieldUserHash: s.cfg.Hasher.ID(m.Tenant, "user", e.UserID()), "result": result,
	})
	switch result {
	case "refused":
		log.WithError(o.err).Warn("revocation refused")
	case "unknown":
		log.WithError(o.err).Error("it is unknown whether a revocation was stored")
	case "not_stored":
		log.WithError(o.err).Error("revocation wasn't stored")
	default:
		log.Info("revocation stored")
	}
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

// requestHash is a keyed hash of all that a call asks for, in the order of the struct's members, so that an array that merely begins like
// another isn't taken for it.
func (s *Service) requestHash(batch []Revocation) string {
	mac := hmac.New(sha256.New, s.cfg.MessageKey)
	_, _ = mac.Write([]byte("request\x00"))
	// Structs of strings and times of four-digit years can't fail to marshal.
	_ = json.NewEncoder(mac).Encode(batch)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
