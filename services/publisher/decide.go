package publisher

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
)

// handleApprovals lists the tenant's requests, the newest first.
func (s *Service) handleApprovals(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	list, err := s.approvals(r.Context(), key.Tenant)
	if err != nil {
		s.refuse(w, s.approvalProblem(err))
		return
	}
	slices.SortFunc(list, func(a, b record) int { return b.AskedAt.Compare(a.AskedAt) })
	out := struct {
		Approvals []Approval `json:"approvals"`
	}{Approvals: []Approval{}}
	for _, rec := range list {
		out.Approvals = append(out.Approvals, rec.Approval)
	}
	problem.JSON(w, http.StatusOK, out)
}

func (s *Service) handleApproval(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	rec, err := s.approval(r.Context(), key.Tenant, r.PathValue("id"))
	if err != nil {
		s.refuse(w, s.approvalProblem(err))
		return
	}
	problem.JSON(w, http.StatusOK, rec.Approval)
}

// handleReject takes a request away that nobody has approved. Whoever asked may do so too.
func (s *Service) handleReject(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), crowdTimeout)
	defer cancel()
	rec, err := s.approval(ctx, key.Tenant, r.PathValue("id"))
	switch {
	case err != nil:
	case rec.State == ApprovalApproved, rec.State == ApprovalStored:
		err = errApprovalMoved
	case rec.State == ApprovalPending:
		rec.State, rec.DecidedBy, rec.DecidedAt = ApprovalRejected, key.ID, time.Now().UTC().Truncate(time.Millisecond)
		if rec, err = s.keep(ctx, rec); err == nil {
			s.logDecision(rec, key, "a revocation was rejected by a second person")
		}
	}
	if err != nil {
		s.refuse(w, s.approvalProblem(err))
		return
	}
	problem.JSON(w, http.StatusOK, rec.Approval)
}

// handleApprove stores what was asked for. Approving twice, or by two at once, stores one event and answers both with it.
func (s *Service) handleApprove(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	c, p := s.parseCall(r)
	if p.Status == 0 && c.idempotencyKey != "" {
		p = problem.New(http.StatusBadRequest, "invalid_idempotency_key", "Approving takes no Idempotency-Key: however often a request is approved, it is one event.")
	}
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), c.timeout)
	defer cancel()
	rec, p := s.approve(ctx, key, r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	answers, p := s.storeApproved(r, rec, c)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	if c.aim != "" {
		s.wait(r.Context(), key, c, answers)
	}
	problem.JSON(w, http.StatusOK, answers[0])
}

// approve returns the request with the event that is to be stored: the one with which it was approved first.
func (s *Service) approve(ctx context.Context, by access.Key, r *http.Request) (record, problem.Problem) {
	for {
		rec, err := s.approval(ctx, by.Tenant, r.PathValue("id"))
		if err != nil {
			return rec, s.approvalProblem(err)
		}
		switch rec.State {
		case ApprovalRejected:
			return rec, s.approvalProblem(rejectedError{rec.ID})
		case ApprovalExpired:
			return rec, problem.New(http.StatusConflict, "approval_expired", "Nothing was revoked: nobody approved this request within 15 minutes. Ask anew.")
		}
		if p := s.mayApprove(rec, by); p.Status != 0 || rec.State != ApprovalPending {
			return rec, p
		}
		st := s.stamp(r, access.Key{ID: rec.AskedBy, Tenant: rec.Tenant})
		st.approvedBy = by.ID
		e, err := st.event(rec.Revocation)
		if err != nil {
			var faults []problem.Fault
			for _, f := range faultsOf(err) {
				faults = append(faults, problem.Fault{Field: f.Field, Detail: f.Remedy})
			}
			return rec, problem.Invalid(faults...)
		}
		if rec.Event, err = events.Encode(e); err != nil {
			return rec, problem.New(http.StatusUnprocessableEntity, "invalid_request", err.Error())
		}
		rec.State, rec.DecidedBy, rec.DecidedAt = ApprovalApproved, by.ID, st.now
		switch rec, err = s.keep(ctx, rec); {
		case errors.Is(err, errApprovalMoved):
			// Somebody else has decided: it is looked how.
		case err != nil:
			return rec, s.approvalProblem(err)
		default:
			s.logDecision(rec, by, "a revocation was approved by a second person")
			return rec, problem.Problem{}
		}
	}
}

// mayApprove refuses whoever isn't a second person, as far as keys tell: the key that asked, one that it has made, directly or not, and one that was made since.
func (s *Service) mayApprove(rec record, by access.Key) problem.Problem {
	switch {
	case by.ID == rec.AskedBy:
		return problem.New(http.StatusConflict, "approval_own", "The API key that asked can't approve: that takes another person's key with the scope admin.")
	case by.CreatedAt.After(rec.AskedAt):
		return problem.New(http.StatusConflict, "approval_own", "This API key was made after the request: approve with one that was there before.")
	case s.cfg.Keys.Descends(by.ID, rec.AskedBy):
		return problem.New(http.StatusConflict, "approval_own", "This API key was made by the one that asked: approve with another person's.")
	case rec.State == ApprovalPending && !s.cfg.Keys.Live(rec.AskedBy):
		return problem.New(http.StatusConflict, "approval_asker_revoked", "Nothing was revoked: the API key that asked has been revoked since. Ask anew with another.")
	}
	return problem.Problem{}
}

// storeApproved publishes the event of an approved request, and notes that it is stored. Its message's id comes from the request's, so that the stream takes it once however often
// this is done within its duplicate window; after that the same event lies there twice, which changes nothing.
func (s *Service) storeApproved(r *http.Request, rec record, c call) ([]Stored, problem.Problem) {
	if rec.Stored != nil {
		stored := *rec.Stored
		stored.Duplicate = true
		return []Stored{stored}, problem.Problem{}
	}
	e, err := events.Decode(rec.Event)
	if err != nil {
		return nil, s.approvalProblem(err)
	}
	c.idempotencyKey = "approval:" + rec.ID + ":" + e.Meta().ID
	answers, p := s.store(r, access.Key{ID: rec.AskedBy, Tenant: rec.Tenant}, c, []Revocation{rec.Revocation}, []events.Event{e})
	if p.Status != 0 {
		return nil, p
	}
	first := answers[0]
	first.Duplicate = false
	rec.State, rec.Stored = ApprovalStored, &first
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), crowdTimeout)
	defer cancel()
	if _, err := s.keep(ctx, rec); err != nil && !errors.Is(err, errApprovalMoved) {
		// It is stored all the same; who approves it again is told so by the stream.
		s.cfg.Log.WithError(err).Warn("an approved revocation is stored, and its request doesn't say so")
	}
	return answers, problem.Problem{}
}
