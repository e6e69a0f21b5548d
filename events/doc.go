// Package events is Curfew's vocabulary: what can be said about the end of sessions, and how it is written down.
//
// Five events exist, each a past-tense record of one revocation:
//
//   - [SessionRevoked]: exactly one session is over.
//   - [UserLoggedOutEverywhere]: a user's sessions begun up to a cutoff are over, but for named exceptions.
//   - [DeviceLoggedOut], [ClientLoggedOut], [TenantLoggedOut]: the same for all sessions of a device, an OAuth client, a tenant.
//
// On the wire an event is a CloudEvents 1.0 envelope in structured JSON mode ([Encode], [Decode]) and travels on a topic
// that tells its tenant, a shard of its user and its kind, and never an id ([Topic]).
//
// What the package promises:
//
//   - Encode refuses what Validate refuses, so an event that was written is a valid one.
//   - Decode ignores members it doesn't know, and answers a type or version it doesn't know with an [*UnsupportedError],
//     so that an older reader meets a newer writer without harm.
//   - Decode refuses what two readers could read differently: a member of the event that stands there twice, half a surrogate pair,
//     invalid UTF-8. Names of members match exactly.
//   - CheckJSON holds other JSON that ends sessions, such as a request's, to the same rules, and to names that stand once at any
//     depth.
//   - Times have millisecond precision in UTC. Encode floors; it never rounds up.
//
// What it doesn't promise: that an event is authentic (that is the stream's permissions and the publisher's API keys), or
// that ids are unique; applying the same event twice is harmless by design.
//
// The package imports the standard library and google/uuid only, so that anything can afford it. The JSON Schemas ([Schemas])
// and the AsyncAPI document in this folder describe the same bytes for other languages; tests hold them to the golden files.
package events
