package revocationgrpc

import (
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// Domain is that of every ErrorInfo of this package.
const Domain = "curfew"

// Reasons of the answers. They are stable; programs branch on them.
const (
	ReasonSessionRevoked      = "SESSION_REVOKED"
	ReasonSessionUndetermined = "SESSION_UNDETERMINED"
	ReasonClaimsMissing       = "SESSION_CLAIMS_MISSING"
	ReasonClaimsInvalid       = "SESSION_CLAIMS_INVALID"
	ReasonSessionRequired     = "SESSION_REQUIRED"
	ReasonInvalidToken        = "INVALID_TOKEN"
	ReasonInvalidPosition     = "INVALID_POSITION"
)

// MetadataReason is the key in the metadata of a SESSION_REVOKED's ErrorInfo that says why the session is over, as events.Reason does.
const MetadataReason = "reason"

// answer is a refusal. It holds nothing that came with the call, no id, and no text that an operator wrote.
type answer struct {
	code    codes.Code
	reason  string
	message string
	// why says what ended the session; empty if nothing did.
	why events.Reason
	// retry is whether the same call may succeed later.
	retry bool
}

// Answer maps a decision to its answer. It returns nil for Active, which there is no answer for.
//
// Undetermined is Unavailable where time mends the cause (not synced, stale, behind, closed) and Unauthenticated where it doesn't: a token that
// lacks a claim lacks it the next time as well, and a client told to retry would do so for ever.
func Answer(d revocation.Decision) *status.Status { return answerOf(d).status(DefaultRetryAfter) }

// AnswerError maps the error of a Session function, or the cause of an Undetermined decision, to its answer. It fails closed: an error that it
// doesn't know, and nil, are SESSION_UNDETERMINED. A [*revocation.EndedError] has the answer of its decision.
func AnswerError(err error) *status.Status { return answerOfError(err).status(DefaultRetryAfter) }

func answerOf(d revocation.Decision) *answer {
	switch d.State {
	case revocation.Active:
		return nil
	case revocation.Revoked:
		a := unauthenticated(ReasonSessionRevoked, "The session is over: sign in again.")
		a.why = d.Reason
		return a
	}
	return answerOfError(d.Cause)
}

func answerOfError(err error) *answer {
	var ended *revocation.EndedError
	switch {
	case errors.As(err, &ended) && ended.Decision.State == revocation.Revoked:
		return answerOf(ended.Decision)
	case errors.Is(err, ErrNoSession):
		return unauthenticated(ReasonSessionRequired, "The call carries no session: sign in, and send the access token.")
	case errors.Is(err, ErrInvalidToken):
		// One text for all: who holds a bad token mustn't learn which part of it was good.
		return unauthenticated(ReasonInvalidToken, "The access token is invalid or has expired: get a new one.")
	case errors.Is(err, ErrInvalidPosition):
		return &answer{code: codes.InvalidArgument, reason: ReasonInvalidPosition, message: "The metadata " + PositionKey +
			" must be one decimal number: send the position that the revocation was answered with, or leave it out."}
	case errors.Is(err, revocation.ErrMissingSession):
		return unauthenticated(ReasonClaimsMissing, "The access token doesn't say which session it belongs to: its issuer must add a session id (sid).")
	case errors.Is(err, revocation.ErrMissingUser):
		return unauthenticated(ReasonClaimsMissing, "The access token doesn't say whose it is: its issuer must add a user id (sub).")
	case errors.Is(err, revocation.ErrMissingAuthTime):
		return unauthenticated(ReasonClaimsMissing, "The access token doesn't say when the user signed in: its issuer must add an auth time (auth_time_ms or auth_time).")
	case errors.Is(err, revocation.ErrAuthTimeInFuture):
		return unauthenticated(ReasonClaimsInvalid, "The access token's auth time lies in the future: its issuer must correct its clock, or the claim's unit.")
	}
	return &answer{
		code: codes.Unavailable, reason: ReasonSessionUndetermined, retry: true,
		message: "Whether the session is over can't be told at the moment: try again.",
	}
}

func unauthenticated(reason, message string) *answer {
	return &answer{code: codes.Unauthenticated, reason: reason, message: message}
}

// status returns the answer as it is sent; nil for nil.
func (a *answer) status(retryAfter time.Duration) *status.Status {
	if a == nil {
		return nil
	}
	info := &errdetails.ErrorInfo{Reason: a.reason, Domain: Domain}
	if a.why != "" {
		info.Metadata = map[string]string{MetadataReason: string(a.why)}
	}
	details := []protoadapt.MessageV1{info}
	if a.retry {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	s := status.New(a.code, a.message)
	if detailed, err := s.WithDetails(details...); err == nil {
		return detailed
	}
	return s // details of strings and a number can be encoded: it can't happen
}
