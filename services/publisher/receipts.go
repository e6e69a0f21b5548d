package publisher

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/receipts"
	"github.com/curfewhq/curfew/revocation"
)

const (
	// maxWaited is how many revocations of one call can be waited for: each has a receipt of its own.
	maxWaited = 100
	// defaultReceipts and maxReceipts are how many a list holds.
	defaultReceipts = 50
	maxReceipts     = 200
)

// parseAim reads what is waited for; stored waits for nothing more, where that is said.
func (s *Service) parseAim(text string, stored bool) (receipts.Aim, problem.Problem) {
	switch aim := receipts.Aim(text); {
	case text == "stored" && stored:
		return "", problem.Problem{}
	case (aim == receipts.Applied || aim == receipts.Shown) && s.cfg.Receipts != nil:
		return aim, problem.Problem{}
	}
	return "", problem.New(http.StatusUnprocessableEntity, "unsupported_wait", "wait must be stored, applied (by every replica that reports) or shown (and by every tab that was told).")
}

// wait adds to answers whom the revocations have reached by the call's end. Their receipts are kept. The caller going away ends it.
func (s *Service) wait(ctx context.Context, key access.Key, c call, answers []Stored) {
	now := time.Now()
	ctx, cancel := context.WithDeadline(ctx, c.began.Add(c.timeout))
	defer cancel()
	list := make([]receipts.Event, len(answers))
	for i, a := range answers {
		list[i] = receipts.Event{ID: a.ID, Tenant: key.Tenant, Position: a.Position, Asked: c.began, Stored: now}
		if a.Duplicate {
			// It was stored by an earlier call, from which nobody has counted.
			list[i].Asked, list[i].Stored = time.Time{}, time.Time{}
		}
	}
	made := s.cfg.Receipts.WaitAll(ctx, list, c.aim)
	s.cfg.Receipts.Keep(ctx, made...)
	for i, r := range made {
		// Who waits for a thousand replicas wants to know who is late, and not to read a thousand names first.
		answer := receipts.AnswerOf(forCaller(key, r)).Brief()
		answers[i].Receipt = &answer
	}
}

// forCaller returns what a key may see of a receipt.
func forCaller(key access.Key, r receipts.Receipt) receipts.Receipt {
	if key.Has(access.ScopeOperator) {
		return r
	}
	return r.Nameless()
}

// handleReceipt answers the receipt of one event. With wait it finds out anew whom the event has reached, unless that is known; for an event of which none is kept the caller
// names the position.
func (s *Service) handleReceipt(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	q, p := s.parseReceiptQuery(r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	applied := true
	kept, err := s.cfg.Receipts.Find(r.Context(), key.Tenant, q.event)
	switch {
	case err != nil && !errors.Is(err, receipts.ErrNone):
		s.cfg.Log.WithError(err).Warn("a receipt can't be read")
		s.refuse(w, problem.Unavailable("receipts_unavailable", "The receipt can't be read: is NATS up? 'curfew doctor' tells.", time.Second))
		return
	case err == nil && (q.aim == "" || kept.Complete && kept.Certain && (kept.Aim == q.aim || kept.Aim == receipts.Shown)):
		s.answerReceipt(w, key, kept.Receipt, kept.Token)
		return
	case err == nil:
		q.position = kept.Position
		if kept.Aim == receipts.Shown {
			q.aim = kept.Aim
		}
		if applied, p = s.holds(r.Context(), key.Tenant, q); p.Status != 0 {
			// The ledger was made anew or put back: whom an event reaches that it doesn't hold can't be found out.
			s.answerReceipt(w, key, kept.Receipt, kept.Token)
			return
		}
	case q.position == 0 || q.aim == "":
		s.refuse(w, problem.New(http.StatusNotFound, "receipt_not_found", "No receipt is kept of that event of this tenant: ask with wait=applied and its position, which GET /v1/revocations/{event} tells."))
		return
	default:
		if applied, p = s.holds(r.Context(), key.Tenant, q); p.Status != 0 {
			s.refuse(w, p)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), q.timeout)
	defer cancel()
	receipt := s.cfg.Receipts.Wait(ctx, receipts.Event{ID: q.event, Tenant: key.Tenant, Position: q.position}, q.aim)
	if !applied {
		receipt = receipt.Disbelieved()
	}
	if kept.Token != "" && receipt.SaysLess(kept.Receipt) {
		s.answerReceipt(w, key, kept.Receipt, kept.Token)
		return
	}
	s.cfg.Receipts.Keep(r.Context(), receipt)
	s.answerReceipt(w, key, receipt, "")
}

// receiptQuery is what a call for a receipt asks.
type receiptQuery struct {
	event    string
	position uint64
	aim      receipts.Aim
	timeout  time.Duration
}

func (s *Service) parseReceiptQuery(r *http.Request) (q receiptQuery, p problem.Problem) {
	q = receiptQuery{event: r.PathValue("event"), timeout: 2 * time.Second}
	values, err := url.ParseQuery(r.URL.RawQuery)
	for name, v := range values {
		if name != "wait" && name != "timeout" && name != "position" || len(v) != 1 {
			err = errors.New("unknown or repeated")
		}
	}
	if err != nil {
		return q, problem.New(http.StatusBadRequest, "unknown_parameter", "This call knows the parameters wait, timeout and position, each once.")
	}
	if len(q.event) != 36 || uuid.Validate(q.event) != nil {
		return q, problem.Invalid(problem.Fault{Field: "event", Detail: "must be an event's id, a UUID"})
	}
	if values.Has("position") {
		if q.position, err = strconv.ParseUint(values.Get("position"), 10, 64); err != nil || q.position == 0 {
			return q, problem.Invalid(problem.Fault{Field: "position", Detail: "must be a position of the ledger, a number above 0"})
		}
	}
	if values.Has("wait") {
		if q.aim, p = s.parseAim(values.Get("wait"), false); p.Status != 0 {
			return q, p
		}
	}
	if values.Has("timeout") {
		q.timeout, p = parseTimeout(values.Get("timeout"))
	}
	return q, p
}

// holds returns whether replicas apply the event when they read it, and reports by a problem of another status than 0 that it doesn't lie at that position, or isn't the tenant's: callers aren't told of others'.
func (s *Service) holds(ctx context.Context, tenant string, q receiptQuery) (applied bool, p problem.Problem) {
	msg, err := s.cfg.EventAt(ctx, q.position)
	if err == nil {
		if e, err := events.DecodeMessage(msg.Subject, msg.Data); err == nil && e.Meta().ID == q.event && e.Meta().Tenant == tenant {
			return !revocation.CutoffInFuture(e, msg.Time), problem.Problem{}
		}
	}
	return false, problem.New(http.StatusNotFound, "receipt_not_found", "No event of that id lies at that position for this tenant: GET /v1/revocations/{event} tells where it lies.")
}

// answerReceipt answers with the signed form. What isn't signed as it is answered is signed now.
func (s *Service) answerReceipt(w http.ResponseWriter, key access.Key, r receipts.Receipt, token string) {
	answer := receipts.AnswerOf(forCaller(key, r))
	answer.Token = token
	if token == "" || !key.Has(access.ScopeOperator) {
		var err error
		if answer.Token, err = s.cfg.Receipts.Sign(answer.Receipt); err != nil {
			s.cfg.Log.WithError(err).Error("a receipt can't be signed")
			s.refuse(w, problem.Unavailable("receipts_unavailable", "The receipt can't be signed: the log says why.", time.Second))
			return
		}
	}
	problem.JSON(w, http.StatusOK, answer)
}

// handleReceipts lists what was kept last.
func (s *Service) handleReceipts(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	values, err := url.ParseQuery(r.URL.RawQuery)
	limit, before := defaultReceipts, uint64(0)
	for name, v := range values {
		if name != "limit" && name != "before" || len(v) != 1 {
			err = errors.New("unknown or repeated")
		}
	}
	if err != nil {
		s.refuse(w, problem.New(http.StatusBadRequest, "unknown_parameter", "This call knows the parameters limit and before, each once."))
		return
	}
	if values.Has("limit") {
		if limit, err = strconv.Atoi(values.Get("limit")); err != nil || limit < 1 || limit > maxReceipts {
			s.refuse(w, problem.Invalid(problem.Fault{Field: "limit", Detail: "must be a number between 1 and 200"}))
			return
		}
	}
	if values.Has("before") {
		if before, err = strconv.ParseUint(values.Get("before"), 10, 64); err != nil || before == 0 {
			s.refuse(w, problem.Invalid(problem.Fault{Field: "before", Detail: "must be the next_before of an earlier answer"}))
			return
		}
	}
	kept, err := s.cfg.Receipts.List(r.Context(), key.Tenant, before, limit)
	if err != nil {
		s.cfg.Log.WithError(err).Warn("receipts can't be read")
		s.refuse(w, problem.Unavailable("receipts_unavailable", "The receipts can't be read: is NATS up? 'curfew doctor' tells.", time.Second))
		return
	}
	list := struct {
		Receipts   []receipts.Answer `json:"receipts"`
		NextBefore uint64            `json:"next_before,omitempty"`
	}{Receipts: []receipts.Answer{}}
	for _, k := range kept {
		list.Receipts = append(list.Receipts, receipts.AnswerOf(forCaller(key, k.Receipt)))
	}
	if len(kept) == limit {
		list.NextBefore = kept[limit-1].Entry
	}
	problem.JSON(w, http.StatusOK, list)
}

// handleReceiptKeys answers the public keys with which receipts are signed, as a JWK set (RFC 7517).
func (s *Service) handleReceiptKeys(w http.ResponseWriter, _ *http.Request) {
	problem.JSON(w, http.StatusOK, s.cfg.Receipts.Keys().Public())
}
