package publisher

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/access"
)

const (
	// approvalTime is how long a second person has.
	approvalTime = 15 * time.Minute
	// maxApprovals is how many requests of a tenant wait at once.
	maxApprovals = 100
)

// ApprovalState is what became of a request.
type ApprovalState string

// The states. Only a pending request can be decided. An approved one is being stored: where that failed, approving it again stores the same event.
const (
	ApprovalPending  ApprovalState = "pending"
	ApprovalApproved ApprovalState = "approved"
	ApprovalStored   ApprovalState = "stored"
	ApprovalRejected ApprovalState = "rejected"
	ApprovalExpired  ApprovalState = "expired"
)

// Approval is a revocation that waits for a second person, or has. Until it is stored nothing is revoked.
type Approval struct {
	ID    string        `json:"id"`
	State ApprovalState `json:"state"`
	// Revocation is what was asked for.
	Revocation Revocation `json:"revocation"`
	// Why says why it needs a second person.
	Why string `json:"why"`
	// Sessions, Tabs and Logins are as they were when it was asked for.
	Sessions CrowdSessions `json:"sessions"`
	Tabs     CrowdTabs     `json:"tabs"`
	Logins   Logins        `json:"logins"`
	// AskedBy and DecidedBy are the ids of API keys. DecidedAt and DecidedBy are empty while it is pending.
	AskedBy   string    `json:"asked_by"`
	AskedAt   time.Time `json:"asked_at"`
	ExpiresAt time.Time `json:"expires_at"`
	DecidedBy string    `json:"decided_by,omitempty"`
	DecidedAt time.Time `json:"decided_at,omitzero"`
	// Stored is what became of it in the ledger; nil before.
	Stored *Stored `json:"stored,omitempty"`
}

// record is a request as it is kept.
type record struct {
	Approval
	Tenant string `json:"tenant"`
	// Request is the hash of what was asked, to which a repeated call is held.
	Request string `json:"request"`
	// Event is what is to be stored, from the moment at which it was approved.
	Event json.RawMessage `json:"event,omitempty"`

	revision uint64
}

// The errors of requests.
var (
	// errNoApproval is returned when there is no such request in the tenant.
	errNoApproval = errors.New("no such request")
	// errApprovalMoved is returned when somebody else has changed the request meanwhile.
	errApprovalMoved = errors.New("somebody else has decided")
)

// at returns the record as it is at a time: one that nobody has decided in time has expired.
func (rec record) at(now time.Time) record {
	if rec.State == ApprovalPending && !now.Before(rec.ExpiresAt) {
		rec.State = ApprovalExpired
	}
	return rec
}

func approvalKey(tenant, id string) string { return tenant + "." + id }

// approvalID is random, but for a call with an Idempotency-Key, whose repetition finds the request.
func (s *Service) approvalID(key access.Key, c call) string {
	id := make([]byte, 8)
	if c.idempotencyKey == "" {
		_, _ = rand.Read(id) // never fails
		return hex.EncodeToString(id)
	}
	mac := hmac.New(sha256.New, s.cfg.MessageKey)
	_, _ = fmt.Fprintf(mac, "approval\x00%s\x00%s", key.ID, c.idempotencyKey)
	return hex.EncodeToString(mac.Sum(nil)[:len(id)])
}

func isApprovalID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == 8
}

// approval reads a request.
func (s *Service) approval(ctx context.Context, tenant, id string) (record, error) {
	if !isApprovalID(id) {
		return record{}, errNoApproval
	}
	entry, err := s.cfg.Approvals.Get(ctx, approvalKey(tenant, id))
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return record{}, errNoApproval
	case err != nil:
		return record{}, fmt.Errorf("read a request for approval: %w", err)
	}
	return decodeRecord(entry)
}

func decodeRecord(entry jetstream.KeyValueEntry) (record, error) {
	rec := record{revision: entry.Revision()}
	if err := json.Unmarshal(entry.Value(), &rec); err != nil {
		return record{}, fmt.Errorf("read a request for approval: %w", err)
	}
	return rec.at(time.Now()), nil
}

// keep writes a request over the state that it was read in, or as a new one, and returns it with its revision. Of several who do so at once one does; the others get errApprovalMoved.
func (s *Service) keep(ctx context.Context, rec record) (record, error) {
	data, err := json.Marshal(rec)
	if err != nil {
		return rec, fmt.Errorf("write a request for approval: %w", err)
	}
	// Revision 0 is that of a key that isn't there, or was deleted.
	revision, err := s.cfg.Approvals.Update(ctx, approvalKey(rec.Tenant, rec.ID), data, rec.revision)
	switch {
	case errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return rec, errApprovalMoved
	case err != nil:
		return rec, fmt.Errorf("write a request for approval: %w", err)
	}
	rec.revision = revision
	return rec, nil
}

// approvals returns the requests of a tenant, as they are read.
func (s *Service) approvals(ctx context.Context, tenant string) (list []record, err error) {
	watch, err := s.cfg.Approvals.Watch(ctx, approvalKey(tenant, "*"), jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("list requests for approval: %w", err)
	}
	defer func() { _ = watch.Stop() }() // fails only where there is nothing to stop
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("list requests for approval: %w", ctx.Err())
		case entry, open := <-watch.Updates():
			if !open {
				return nil, errors.New("list requests for approval: the connection was lost")
			}
			if entry == nil {
				return list, nil
			}
			rec, err := decodeRecord(entry)
			if err != nil {
				return nil, err
			}
			list = append(list, rec)
		}
	}
}
