package audit

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
)

const (
	// patience is how long a caller waits for others that read.
	patience = 10 * time.Second
	// answerTimeout bounds each write of an answer.
	answerTimeout = 10 * time.Second
	// gathered is how much is written at once.
	gathered = 64 << 10
)

// operators lets keys pass that may see every tenant.
func (s *Service) operators(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if key, _ := access.KeyFrom(r.Context()); !key.Has(access.ScopeOperator) {
			p := problem.New(http.StatusForbidden, "api_key_scope", "The audit chain is over the events of every tenant: this takes an API key with the scopes read and operator.")
			p.Authenticate = `Bearer realm="curfew", error="insufficient_scope", scope="operator"`
			s.refuse(w, p)
			return
		}
		next(w, r)
	}
}

// inTurn lets a reading wait for others.
func (s *Service) inTurn(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// The server's own deadline is for calls that take milliseconds.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		waiting, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		select {
		case s.places <- struct{}{}:
			defer func() { <-s.places }()
			next(w, r)
		case <-waiting.Done():
			s.refuse(w, problem.Unavailable("history_busy", "Others read the history just now: ask again.", patience))
		}
	}
}

func (s *Service) refuse(w http.ResponseWriter, p problem.Problem) {
	s.cfg.Metrics.Refused(p.Code)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	p.Write(w)
}

func (s *Service) unreadable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		s.cfg.Log.WithError(err).Warn("the audit chain couldn't be read")
	}
	s.refuse(w, problem.Unavailable("history_unavailable", "The ledger or its checkpoints couldn't be read: is NATS up, and does a process with the role audit run? 'curfew doctor' tells.", time.Second))
}

// Status is what there is to verify.
type Status struct {
	Ledger Ledger `json:"ledger"`
	// LastCheckpoint is the number of the last one; left out where there is none.
	LastCheckpoint uint64 `json:"last_checkpoint,omitempty"`
	// Keys are the public keys of the deployment, a JWK set. Whoever believes them believes the server; a copy that was made before is worth more.
	Keys jose.JSONWebKeySet `json:"keys"`
}

// Ledger is what the stream says of itself. An empty one's First lies behind its Last.
type Ledger struct {
	Made        time.Time `json:"made"`
	First       uint64    `json:"first"`
	Last        uint64    `json:"last"`
	RetentionMS int64     `json:"retention_ms"`
}

func (s *Service) handleStatus(w http.ResponseWriter, r *http.Request) {
	if _, fault := span(r.URL.RawQuery); fault != nil {
		s.invalid(w, *fault)
		return
	}
	_, number, err := s.cfg.Stream.LastCheckpoint(r.Context())
	if err != nil {
		s.unreadable(w, r, err)
		return
	}
	head, err := s.cfg.Ledger.Head(r.Context())
	if err != nil {
		s.unreadable(w, r, err)
		return
	}
	problem.JSON(w, http.StatusOK, Status{LastCheckpoint: number, Keys: s.cfg.Signer.Public(), Ledger: Ledger{Made: head.Made.UTC(), First: head.First, Last: head.Last, RetentionMS: head.Retention.Milliseconds()}})
}

// handleCheckpoints answers with chain.Signed on each line.
func (s *Service) handleCheckpoints(w http.ResponseWriter, r *http.Request) {
	after, fault := span(r.URL.RawQuery, "after")
	if fault != nil {
		s.invalid(w, *fault)
		return
	}
	out := s.lines(w, r)
	out.end(s.eachCheckpoint(r.Context(), after, func(c chain.Signed) error { return out.line(c) }))
}

// Entry is an event as it is stored.
type Entry struct {
	Position uint64    `json:"position"`
	Stored   time.Time `json:"stored"`
	Topic    string    `json:"topic"`
	// Headers are those that it was published with; Data is what was published.
	Headers map[string][]string `json:"headers"`
	Data    []byte              `json:"data"`
}

// handleEntries answers with an Entry on each line, from the ledger's beginning, or behind a position, to its end.
func (s *Service) handleEntries(w http.ResponseWriter, r *http.Request) {
	after, fault := span(r.URL.RawQuery, "after")
	if fault != nil {
		s.invalid(w, *fault)
		return
	}
	out := s.lines(w, r)
	out.end(s.cfg.Ledger.Read(r.Context(), ledger.Range{Topics: []string{events.TopicAll}, After: after, Raw: true}, func(e ledger.Entry) error {
		entry := Entry{Position: e.Position, Stored: e.Stored.UTC(), Topic: e.Topic, Headers: e.Header, Data: e.Data}
		if entry.Headers == nil {
			entry.Headers = map[string][]string{}
		}
		return out.line(entry)
	}, nil))
}

// span reads the parameters that a call knows: after is a number.
func span(rawQuery string, known ...string) (after uint64, fault *problem.Fault) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return 0, &problem.Fault{Field: "query", Detail: "can't be read: percent-encode its values"}
	}
	for name, values := range query {
		if len(known) == 0 || name != known[0] || len(values) > 1 {
			return 0, &problem.Fault{Field: "query", Detail: "holds a parameter that this call doesn't know, or one twice"}
		}
		if after, err = strconv.ParseUint(values[0], 10, 63); err != nil {
			return 0, &problem.Fault{Field: "after", Detail: "must be a number"}
		}
	}
	return after, nil
}

func (s *Service) invalid(w http.ResponseWriter, fault problem.Fault) {
	p := problem.New(http.StatusBadRequest, "invalid_parameter", "A parameter is invalid; nothing was read.")
	p.Faults = []problem.Fault{fault}
	s.refuse(w, p)
}

// errKeyRevoked ends a reading whose API key has been revoked meanwhile.
var errKeyRevoked = errors.New("the reader's API key was revoked")

// lineWriter streams JSON, one object on each line.
type lineWriter struct {
	service *Service
	w       http.ResponseWriter
	r       *http.Request
	key     string
	buf     []byte
	began   bool
}

func (s *Service) lines(w http.ResponseWriter, r *http.Request) *lineWriter {
	key, _ := access.KeyFrom(r.Context())
	return &lineWriter{service: s, w: w, r: r, key: key.ID}
}

func (o *lineWriter) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if o.buf = append(append(o.buf, b...), '\n'); len(o.buf) < gathered {
		return nil
	}
	return o.flush()
}

func (o *lineWriter) flush() error {
	if !o.service.cfg.Keys.Live(o.key) {
		return errKeyRevoked
	}
	if !o.began {
		o.began = true
		o.w.Header().Set("Content-Type", "application/x-ndjson")
		o.w.Header().Set("Cache-Control", "no-store")
		o.w.WriteHeader(http.StatusOK)
	}
	if err := http.NewResponseController(o.w).SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	_, err := o.w.Write(o.buf)
	o.buf = o.buf[:0]
	return err
}

// end ends the answer. One that breaks on this side is cut off, so that it doesn't look whole.
func (o *lineWriter) end(err error) {
	if err == nil {
		err = o.flush()
	}
	switch {
	case err == nil:
	case !o.began:
		o.service.unreadable(o.w, o.r, err)
	default:
		if o.r.Context().Err() == nil {
			o.service.cfg.Log.WithError(err).Info("a reader of the audit chain was cut off")
		}
		app.CutOff()
	}
}
