package publisher

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/receipts"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// Stream is what the service publishes to; *bus.Publisher is one. It is a Watermill publisher that also gives the stream's acknowledgement.
type Stream interface {
	message.Publisher
	PublishAck(ctx context.Context, topic string, msg *message.Message) (bus.Ack, error)
	PublishAll(ctx context.Context, topics []string, msgs []*message.Message) ([]bus.Ack, []error)
}

// Config of the service. Fields without a note are required.
type Config struct {
	Stream Stream
	// EventAt returns the stored message at a position.
	EventAt func(ctx context.Context, position uint64) (*jetstream.RawStreamMsg, error)
	Keys    *access.Store
	// Registry is asked which sessions a user has, and who a session's is. nil where there is none.
	Registry Registry
	// Receipts finds out whom revocations have reached. nil where nobody can wait for that.
	Receipts *receipts.Desk
	// Crowd counts whom a revocation would end. nil where nobody can ask for that.
	Crowd Crowd
	// ApprovalThreshold is above how many sessions a second person approves a revocation of a client, and of every revocation of a tenant. Zero means that nobody has to.
	ApprovalThreshold int
	// Approvals is the bucket of requests that wait for a second person. Required where ApprovalThreshold is above 0.
	Approvals jetstream.KeyValue
	// MessageKey keys the ids by which the stream recognises a repeated call, so that nobody can guess another's.
	MessageKey []byte
	// MaxAge and Leeway say how long a revocation must be remembered; they are those of the replicas.
	MaxAge, Leeway time.Duration
	// ClockSkew is how far in the future a caller's cutoff may lie. Zero means 5 s.
	ClockSkew time.Duration
	Metrics   *telemetry.Metrics
	Hasher    telemetry.Hasher
	Log       logrus.FieldLogger
}

// Registry is what the publisher asks the session registry. An error, and a registry that answers late, keeps no revocation from being published.
type Registry interface {
	// Known returns the ids of a user's sessions that were registered up to a time and haven't ended, the newest first, at most 1,000.
	Known(ctx context.Context, tenant, user string, upTo time.Time) ([]string, error)
	// Session returns a session; ok is false if it isn't known.
	Session(ctx context.Context, tenant, id string) (s Session, ok bool, err error)
}

// Session is what the registry knows of a session that belongs into the event of its end. When the session would have ended isn't among it: a token may live longer than the registry knows
// (ADR 0043).
type Session struct {
	User string
	// Device and Client may be empty.
	Device, Client string
	AuthTime       time.Time
}

// Service is the logout publisher. It holds no state of its own; make one with New.
type Service struct {
	cfg Config
	// counting has room for one, who counts sessions.
	counting chan struct{}
}

// New returns a service. It reports every missing part at once.
func New(cfg Config) (*Service, error) {
	var errs []error
	missing := func(absent bool, name string) {
		if absent {
			errs = append(errs, errors.New("publisher config: "+name+" is required"))
		}
	}
	missing(cfg.Stream == nil, "Stream")
	missing(cfg.EventAt == nil, "EventAt")
	missing(cfg.Keys == nil, "Keys")
	missing(len(cfg.MessageKey) == 0, "MessageKey")
	missing(cfg.MaxAge <= 0, "MaxAge")
	missing(cfg.Leeway <= 0, "Leeway")
	missing(cfg.Metrics == nil, "Metrics")
	missing(cfg.Log == nil, "Log")
	missing(cfg.ApprovalThreshold > 0 && (cfg.Approvals == nil || cfg.Crowd == nil), "Approvals and Crowd")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.ClockSkew == 0 {
		cfg.ClockSkew = 5 * time.Second
	}
	return &Service{cfg: cfg, counting: make(chan struct{}, 1)}, nil
}

// Routes adds the service's calls to mux.
func (s *Service) Routes(mux *http.ServeMux) {
	refused := func(code string) { s.cfg.Metrics.Refused.WithLabelValues(code).Inc() }
	guard := func(scope access.Scope, h http.HandlerFunc) http.Handler { return s.cfg.Keys.Guard(scope, refused, h) }
	mux.Handle("POST /v1/revocations", guard(access.ScopePublish, s.handleRevoke))
	mux.Handle("POST /v1/users/{user}/logout", guard(access.ScopePublish, s.handleLogout))
	mux.Handle("DELETE /v1/sessions/{session}", guard(access.ScopePublish, s.handleEnd))
	if s.cfg.Crowd != nil {
		mux.Handle("POST /v1/revocations/preview", guard(access.ScopePublish, s.handlePreview))
	}
	if s.cfg.Approvals != nil {
		mux.Handle("GET /v1/approvals", guard(access.ScopeAdmin, s.handleApprovals))
		mux.Handle("GET /v1/approvals/{id}", guard(access.ScopeAdmin, s.handleApproval))
		mux.Handle("DELETE /v1/approvals/{id}", guard(access.ScopeAdmin, s.handleReject))
		mux.Handle("POST /v1/approvals/{id}/approve", guard(access.ScopeAdmin, s.handleApprove))
	}
	if s.cfg.Receipts == nil {
		return
	}
	mux.Handle("GET /v1/receipts", guard(access.ScopeRead, s.handleReceipts))
	mux.Handle("GET /v1/receipts/{event}", guard(access.ScopeRead, s.handleReceipt))
	mux.Handle("GET /v1/receipts/keys", guard(access.ScopeRead, s.handleReceiptKeys))
}
