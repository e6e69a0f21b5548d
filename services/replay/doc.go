// Package replay reads ranges of the ledger for operators, and stores the events of an export.
//
//	GET /v1/revocations          what was revoked, by whom and why: a page, the whole range as NDJSON, or what comes from now on
//	GET /v1/revocations/stats    how many, by scope, reason, initiator and tenant
//	GET /v1/revocations/{event}  one event, by its id or its position
//	GET /v1/explain              what ends a session, or doesn't, and why: now, with who knows and which tabs are open, or as of a time or position
//	POST /v1/import              stores events as they were, each once; POST /v1/import/known tells which of many the ledger has
//
// A key with the scope read sees its own tenant. One that has the scope operator too may name another, or * for all.
//
// Everything is read from the stream itself when it is asked for: there is no index that could be behind, and a narrow question (a user's) reads 1/256 of
// the tenant's events. A range ends at the head that the stream had when the reading reached it. Memory is flat: a page is bounded in bytes, and a whole range is passed on as it is read.
//
// An import takes a key with the scope operator. Events keep their own ids, times and cutoffs and stay their tenants'; they are marked as replayed, so that no browser is told of them. What the ledger
// has by its id isn't stored again, at whatever date, and by however many imports at once. Nothing is promised of the order in which events of several calls are stored: state doesn't depend on it.
package replay
