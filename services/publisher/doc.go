// Package publisher is the logout publisher: an HTTP API that takes revocations, stamps and validates them, and answers once the stream has
// stored them.
//
// It promises that a 200 means stored: the event is in the ledger under its storage guarantees. A call that ran out of time is reported as
// unknown, never as failed; calling again with the same Idempotency-Key (within the stream's duplicate window, 10 minutes) gives one event
// and that event's answer. The tenant comes from the API key alone.
//
// It doesn't tell tabs or replicas: they follow the stream.
//
//	POST /v1/revocations            one revocation, or an array of at most 1,000
//	POST /v1/users/{user}/logout    log a user out everywhere, or everywhere but here
package publisher
