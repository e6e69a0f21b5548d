package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Fault is one fault of one member of a request.
type Fault struct {
	// Index is the element of an array request, counted from 0; nil for a request that is one object.
	Index *int `json:"index,omitempty"`
	// Field is the JSON name of the member.
	Field string `json:"field"`
	// Detail says what to do about it.
	Detail string `json:"detail"`
}

// Problem is one error answer. The zero value isn't valid: Status, Code and Title are required.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Code is stable; programs branch on it.
	Code string `json:"code"`
	// Retry says whether the same request may succeed later.
	Retry  bool    `json:"retry"`
	Faults []Fault `json:"errors,omitempty"`

	// RetryAfter is sent as the Retry-After header, in whole seconds, rounded up. Zero sends none.
	RetryAfter time.Duration `json:"-"`
	// Authenticate is sent as the WWW-Authenticate header. Empty sends none.
	Authenticate string `json:"-"`
}

// New returns a problem that a retry doesn't mend.
func New(status int, code, detail string) Problem {
	return Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// Unavailable returns a 503 that asks to try again after a while.
func Unavailable(code, detail string, after time.Duration) Problem {
	p := New(http.StatusServiceUnavailable, code, detail)
	p.Retry, p.RetryAfter = true, after
	return p
}

// MaxFaults is how many faults an answer lists: a small request must not cause a huge answer.
const MaxFaults = 100

// Invalid returns a 422 that names the fields, the first MaxFaults of them.
func Invalid(faults ...Fault) Problem {
	p := New(http.StatusUnprocessableEntity, "invalid_request", "Some members of the request are invalid; nothing was done.")
	if len(faults) > MaxFaults {
		p.Detail = "Many members of the request are invalid, and only the first faults are listed; nothing was done."
		faults = faults[:MaxFaults]
	}
	p.Faults = faults
	return p
}

// Write answers with p and marks the answer as not to be stored.
func (p Problem) Write(w http.ResponseWriter) { p.WriteBody(w, p) }

// WriteBody is Write with another body, which holds p's members and more.
func (p Problem) WriteBody(w http.ResponseWriter, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10))
	}
	if p.Authenticate != "" {
		h.Set("WWW-Authenticate", p.Authenticate)
	}
	w.WriteHeader(p.Status)
	// The status is out; a caller that went away is no news.
	_ = json.NewEncoder(w).Encode(body)
}

// JSON answers with v, marked as not to be stored.
func JSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
