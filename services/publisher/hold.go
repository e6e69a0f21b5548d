package publisher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// hold keeps revocations from being stored that a second person has to approve. It returns nil and a problem of status 0 where there is nothing to wait for. An earlier request of a
// repeated call is returned as it is by now, and what an approved one has stored is the call's answer.
func (s *Service) hold(r *http.Request, key access.Key, c call, batch []Revocation, evs []events.Event, array bool) (*Approval, problem.Problem) {
	for i, e := range evs {
		if !s.mayHold(e) {
			continue
		}
		rec, p := s.earlier(r.Context(), key, c, batch)
		if p.Status != 0 || rec != nil {
			return rec, p
		}
		crowd := s.crowdOf(r.Context(), e)
		why := s.heldBy(e, crowd)
		switch {
		case why == "":
			continue
		case array:
			return nil, problem.Invalid(problem.Fault{Index: &i, Field: "scope", Detail: "needs a second person's approval (" + why + "): send this one in a call of its own, and the others without it; nothing was stored"})
		}
		return s.ask(r.Context(), key, c, batch, crowd, why)
	}
	return nil, problem.Problem{}
}

// earlier returns the request that an earlier call with the same Idempotency-Key has made; nil where there is none, or only one that has expired.
func (s *Service) earlier(ctx context.Context, key access.Key, c call, batch []Revocation) (*Approval, problem.Problem) {
	if c.idempotencyKey == "" {
		return nil, problem.Problem{}
	}
	rec, err := s.approval(ctx, key.Tenant, s.approvalID(key, c))
	switch {
	case errors.Is(err, errNoApproval):
		return nil, problem.Problem{}
	case err != nil:
		return nil, s.approvalProblem(err)
	case rec.Request != s.requestHash(batch):
		// Also of one that has expired: who has looked at it may still approve, under the id that both have.
		return nil, problemOf(errKeyReused, 0, len(batch), c)
	case rec.State == ApprovalExpired:
		return nil, problem.Problem{}
	case rec.State == ApprovalRejected:
		return nil, s.approvalProblem(rejectedError{rec.ID})
	}
	return &rec.Approval, problem.Problem{}
}

// ask keeps a new request. Nothing is revoked by it.
func (s *Service) ask(ctx context.Context, key access.Key, c call, batch []Revocation, crowd crowd, why string) (*Approval, problem.Problem) {
	waiting, err := s.approvals(ctx, key.Tenant)
	if err != nil {
		return nil, s.approvalProblem(err)
	}
	pending := 0
	for _, rec := range waiting {
		if rec.State == ApprovalPending {
			pending++
		}
	}
	if pending >= maxApprovals {
		return nil, problem.Unavailable("too_many_approvals", fmt.Sprintf("Nothing was revoked: %d requests of this tenant wait for a second person. Decide some first: 'curfew approve ls' lists them.", pending), time.Minute)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	rec := record{Tenant: key.Tenant, Request: s.requestHash(batch), Approval: Approval{
		ID: s.approvalID(key, c), State: ApprovalPending, Revocation: batch[0], Why: why, Sessions: crowd.sessions, Tabs: crowd.tabs, Logins: crowd.logins,
		AskedBy: key.ID, AskedAt: now, ExpiresAt: now.Add(approvalTime),
	}}
	switch old, err := s.approval(ctx, key.Tenant, rec.ID); {
	case err == nil && (old.State != ApprovalExpired || old.Request != rec.Request):
		return s.faster(ctx, key, c, batch)
	case err == nil:
		rec.revision = old.revision
	case !errors.Is(err, errNoApproval):
		return nil, s.approvalProblem(err)
	}
	rec, err = s.keep(ctx, rec)
	if errors.Is(err, errApprovalMoved) {
		return s.faster(ctx, key, c, batch)
	}
	if err != nil {
		return nil, s.approvalProblem(err)
	}
	s.logDecision(rec, key, "a revocation waits for a second person")
	return &rec.Approval, problem.Problem{}
}

// faster returns the request of another call with the same Idempotency-Key that came at once and was counted sooner; never nothing, for that would store what is to wait.
func (s *Service) faster(ctx context.Context, key access.Key, c call, batch []Revocation) (*Approval, problem.Problem) {
	rec, p := s.earlier(ctx, key, c, batch)
	if rec == nil && p.Status == 0 {
		p = s.approvalProblem(errApprovalMoved)
	}
	return rec, p
}

// rejectedError is returned when a request was rejected.
type rejectedError struct{ id string }

func (e rejectedError) Error() string { return "request " + e.id + " was rejected" }

// approvalProblem maps errors of requests to answers, in this one place.
func (s *Service) approvalProblem(err error) problem.Problem {
	var rejected rejectedError
	switch {
	case errors.Is(err, errNoApproval):
		return problem.New(http.StatusNotFound, "approval_not_found", "No such request waits in this tenant: it was decided long ago, or never made. 'curfew approve ls' lists them.")
	case errors.As(err, &rejected):
		return problem.New(http.StatusConflict, "approval_rejected", "Nothing was revoked: a second person has rejected this request. Ask anew, with another Idempotency-Key.")
	case errors.Is(err, errApprovalMoved):
		return problem.New(http.StatusConflict, "approval_decided", "Somebody else has decided meanwhile: 'curfew approve show' tells how.")
	}
	s.cfg.Log.WithError(err).Warn("requests for approval can't be read or written")
	return problem.Unavailable("approvals_unavailable", "Nothing was revoked: requests for approval can't be read or written: is NATS up? 'curfew doctor' tells.", time.Second)
}

// logDecision writes down who has done what to a request.
func (s *Service) logDecision(rec record, by access.Key, what string) {
	s.cfg.Log.WithFields(logrus.Fields{
		"approval": rec.ID, "state": string(rec.State), "scope": string(rec.Revocation.Scope), "asked_by": rec.AskedBy, telemetry.FieldTenant: rec.Tenant, telemetry.FieldKey: by.ID,
	}).Warn(what)
}
