package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// AuditStream holds the checkpoints of the audit chain.
	AuditStream = "CURFEW_AUDIT"

	// AuditTopic is where they are published to.
	AuditTopic = "curfew.audit.checkpoints"

	// auditBeyond is how much longer than events their checkpoints are kept, so that there is one before the first event.
	auditBeyond       = 24 * time.Hour
	defaultAuditBytes = 512 << 20
	auditTimeout      = 5 * time.Second
)

// ErrAuditAhead is returned by AppendCheckpoint when the stream isn't as long as was said: somebody else has appended to it.
var ErrAuditAhead = errors.New("another process has appended a checkpoint")

// AuditSpec is what the stream of checkpoints should be. It is as hard to take from as the ledger.
func AuditSpec(cfg Config) jetstream.StreamConfig {
	cfg = cfg.withDefaults()
	return jetstream.StreamConfig{
		Name:        AuditStream,
		Description: "Curfew's signed checkpoints of the ledger",
		Subjects:    []string{AuditTopic},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardNew,
		MaxAge:      cfg.Retention + auditBeyond,
		MaxBytes:    maxBytes(cfg, 0, defaultAuditBytes, 32),
		MaxMsgs:     -1,
		Replicas:    cfg.Replicas,
		Duplicates:  cfg.DuplicateWindow,
		DenyDelete:  true,
		DenyPurge:   true,
		AllowDirect: true,
	}
}

// EnsureAudit creates the stream of checkpoints if it is missing. One that lets checkpoints be taken away is refused, as EnsureStreams refuses a ledger. It is for processes that make checkpoints; the others
// do without the stream.
func (b *Bus) EnsureAudit(ctx context.Context) error { return b.ensure(ctx, AuditSpec(b.cfg)) }

// AppendCheckpoint stores a checkpoint behind the message at position after; 0 is the beginning. It returns ErrAuditAhead where that isn't the last one. After any other error it isn't known
// whether it is stored: look at LastCheckpoint.
func (b *Bus) AppendCheckpoint(ctx context.Context, data []byte, after uint64) error {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	_, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: AuditTopic, Data: data}, jetstream.WithExpectLastSequence(after), jetstream.WithRetryAttempts(0))
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return ErrAuditAhead
	}
	if err != nil {
		return fmt.Errorf("append a checkpoint: %w", err)
	}
	return nil
}

// LastCheckpoint returns the last message of the stream of checkpoints and its position. data is nil if the stream holds none; position is then that of the last it has held, or 0.
func (b *Bus) LastCheckpoint(ctx context.Context) (data []byte, position uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, AuditStream)
	if err != nil {
		return nil, 0, fmt.Errorf("look at the last checkpoint: %w", err)
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return nil, state.LastSeq, nil
	}
	// By the leader, because another replica may lag behind it.
	msg, err := stream.GetMsg(ctx, state.LastSeq)
	if err != nil {
		return nil, 0, fmt.Errorf("read the last checkpoint: %w", err)
	}
	return msg.Data, msg.Sequence, nil
}
