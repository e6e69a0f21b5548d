// Package problem writes the errors of the HTTP API: RFC 9457 problem+json with a stable code, a sentence that says what to do, and
// whether to try again.
//
// It promises that an answer holds nothing of the request but names of fields. What stands in Detail is for the caller's eyes: the
// services put no secret, token or raw id there.
package problem
