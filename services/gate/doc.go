// Package gate answers whether sessions are over for those that don't hold a replica of their own: services in other languages, and reverse
// proxies.
//
//	GET  /v1/check         one session; the status code tells: 200 active, 401 revoked, 503 undetermined, 422 undetermined because the
//	                       question lacks a claim, 4xx with no state for a call that can't be understood or has no key
//	POST /v1/check         one session or an array of at most 1,000; always 200, with a state for each
//	GET  /v1/replicas      how far the replicas of all processes are, and what they know of a session
//	GET  /v1/forward-auth  verifies the caller's own token or cookie, checks its session, and answers 200 with X-User-ID and X-Session-ID, or 401
//	GET  /v1/revocations/stream  a tenant's live revocations, then what happens, with the ledger's beats among it: for servers that keep them in memory
//
// A stream sends in the ledger's order whatever isn't expired, each event at least once behind the position that was asked for, and passes a beat on
// behind everything that it proves: while the gate's replica is fresh, and no more than a fifth of the budget after the beat was stored. It ends when the
// ledger isn't the one that was asked for, when its key is revoked, when its reader takes more than five seconds for what is written at once, and at Drain.
//
// The answers are the replica's, with its three states; a 200 of GET /v1/check and of /v1/forward-auth is given only for a session that a fresh
// replica knows to be active, unless the deployment has chosen to fail open.
//
// Every answer names the tenant whose session it is about. One about a revoked session tells where the event that ends it lies in the stream, and
// that event's id and time, if it can be read in a quarter of a second and truly is that event: after a stream was put back, another may lie there.
//
// A 401 tells that the session is over only if its code is session_revoked: a bad API key is a 401 as well (api_key_invalid).
//
// A session that nobody has heard of is active: the answers don't tell which sessions exist. The tenant is the key's, or the token
// configuration's, and never the caller's to name.
//
// X-User-ID and X-Session-ID are worth something only behind a proxy that overwrites whatever its callers send under these names;
// deploy/nginx shows how. In both, every byte of an id that isn't visible ASCII, and the percent sign, is percent-encoded; an application
// that has such ids decodes them once. Ordinary ids stand there as they are.
package gate
