// Package audit makes the checkpoints of the audit chain, and hands out what is needed to verify it.
//
//	GET /v1/audit              the ledger's beginning and end, the last checkpoint, and the public keys
//	GET /v1/audit/checkpoints  all checkpoints, as they were signed, as NDJSON
//	GET /v1/audit/entries      the events of the ledger as they are stored, as NDJSON
//
// All three tell of every tenant, so they take a key with the scopes read and operator. What a chain is, and what it can't show, is in internal/chain and docs/audit.md.
//
// # Promises
//
// One process makes checkpoints, which who wires it up elects; one that was elected before and goes on without knowing can't fork the chain, because a checkpoint is stored only directly behind the one
// that it follows. A checkpoint is made after 1,000 events, and each minute whether there were any or not: without one a ledger that was cut off, with its checkpoints, would look whole.
//
// After a crash it goes on from the last checkpoint in the stream, if that is signed by a key of the deployment. If the ledger isn't the one that this was made of, a new chain begins, which names the reason; the
// log says so at level error.
//
// Nothing waits for it: publishers, replicas and gates don't know that there is a chain. While NATS is away no checkpoints are made, and that is seen in the times of those that are.
package audit
