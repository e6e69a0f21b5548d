package revocationhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// Codes of the answers. They are stable; programs branch on them.
const (
	CodeSessionRevoked      = "session_revoked"
	CodeSessionUndetermined = "session_undetermined"
	CodeClaimsMissing       = "session_claims_missing"
	CodeClaimsInvalid       = "session_claims_invalid"
	CodeSessionRequired     = "session_required"
	CodeInvalidToken        = "invalid_token"
	CodeKeysUnavailable     = "keys_unavailable"
	CodeInvalidPosition     = "invalid_position"
)

// DefaultRetryAfter is the Retry-After of answers that time can mend.
const DefaultRetryAfter = time.Second

// Problem is the answer to a request that is refused: problem details (RFC 9457) with a stable code. It holds nothing that came with
// the request, no id, and no text that an operator wrote.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail is a sentence that says what to do.
	Detail string `json:"detail"`
	// Code is stable; programs branch on it.
	Code string `json:"code"`
	// Reason says why a revoked session is over. It is empty with every other code.
	Reason events.Reason `json:"reason,omitempty"`
	// Retry says whether the same request may succeed later.
	Retry bool `json:"retry"`

	// RetryAfter is sent as the Retry-After header, in whole seconds, rounded up. Zero sends none.
	RetryAfter time.Duration `json:"-"`
	// Authenticate is sent as the WWW-Authenticate header (RFC 6750 section 3). Empty sends none.
	Authenticate string `json:"-"`
}

// Answer maps a decision to its answer. It returns the zero Problem for Active, which there is no answer for.
//
// Undetermined is 503 where time mends the cause (not synced, stale, behind, closed) and 401 where it doesn't: a token that lacks a claim
// lacks it the next time as well, and a client told to retry would do so for ever.
func Answer(d revocation.Decision) Problem {
	switch d.State {
	case revocation.Active:
		return Problem{}
	case revocation.Revoked:
		p := unauthorized(CodeSessionRevoked, "The session is over: sign in again.", `error="invalid_token", error_description="The session is over"`)
		p.Reason = d.Reason
		return p
	}
	return AnswerError(d.Cause)
}

// AnswerError maps the error of a Session function, or the cause of an Undetermined decision, to its answer. It fails closed: an error
// that it doesn't know, and nil, are session_undetermined. A [*revocation.EndedError] has the answer of its decision.
func AnswerError(err error) Problem {
	var ended *revocation.EndedError
	switch {
	case errors.As(err, &ended) && ended.Decision.State == revocation.Revoked:
		return Answer(ended.Decision)
	case errors.Is(err, ErrNoSession):
		// RFC 6750 section 3.1: a request without authentication gets no error code.
		return unauthorized(CodeSessionRequired, "The request carries no session: sign in, and send the access token.", "")
	case errors.Is(err, ErrInvalidToken):
		// One text for all: who holds a bad token mustn't learn which part of it was good.
		return unauthorized(CodeInvalidToken, "The access token is invalid or has expired: get a new one.",
			`error="invalid_token", error_description="The access token is invalid or has expired"`)
	case errors.Is(err, ErrInvalidPosition):
		p := problem(http.StatusBadRequest, CodeInvalidPosition, "The header "+PositionHeader+" must be one decimal number: send the position that the revocation was answered with, or leave the header out.")
		return p
	case errors.Is(err, ErrKeysUnavailable):
		return unavailable(CodeKeysUnavailable, "The access token can't be verified at the moment: try again.")
	case errors.Is(err, revocation.ErrMissingSession):
		return claims(CodeClaimsMissing, "The access token doesn't say which session it belongs to: its issuer must add a session id (sid).")
	case errors.Is(err, revocation.ErrMissingUser):
		return claims(CodeClaimsMissing, "The access token doesn't say whose it is: its issuer must add a user id (sub).")
	case errors.Is(err, revocation.ErrMissingAuthTime):
		return claims(CodeClaimsMissing, "The access token doesn't say when the user signed in: its issuer must add an auth time (auth_time_ms or auth_time).")
	case errors.Is(err, revocation.ErrAuthTimeInFuture):
		return claims(CodeClaimsInvalid, "The access token's auth time lies in the future: its issuer must correct its clock, or the claim's unit.")
	}
	return unavailable(CodeSessionUndetermined, "Whether the session is over can't be told at the moment: try again.")
}

func problem(status int, code, detail string) Problem {
	return Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

func unavailable(code, detail string) Problem {
	p := problem(http.StatusServiceUnavailable, code, detail)
	p.Retry, p.RetryAfter = true, DefaultRetryAfter
	return p
}

func unauthorized(code, detail, params string) Problem {
	p := problem(http.StatusUnauthorized, code, detail)
	p.Authenticate = "Bearer"
	if params != "" {
		p.Authenticate += " " + params
	}
	return p
}

func claims(code, detail string) Problem {
	return unauthorized(code, detail, `error="invalid_token", error_description="A claim of the access token is missing or wrong"`)
}

// Write answers with p. The zero Problem, which stands for no refusal, is answered with 500: writing it is a bug, and mustn't look
// like a pass.
func (p Problem) Write(w http.ResponseWriter) {
	if p.Status == 0 {
		p = problem(http.StatusInternalServerError, "internal", "There is no answer to give.")
	}
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(p); err != nil {
		body.Reset() // strings, a number and a bool: it can't happen
	}
	h := w.Header()
	// What an outer handler said of the content it expected doesn't hold for this one.
	for _, name := range []string{"Content-Encoding", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10))
	}
	if p.Authenticate != "" {
		h.Set("WWW-Authenticate", p.Authenticate)
	}
	w.WriteHeader(p.Status)
	// The status is out; a client that went away is no news.
	_, _ = w.Write(body.Bytes())
}
