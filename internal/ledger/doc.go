// Package ledger reads ranges of the ledger for people and tools: a user's history, everything since a time, and what comes from now on.
//
// It reads with an ephemeral consumer that leaves nothing behind. It doesn't feed replicas; package revocationnats does. What it reads
// is in the stream's order, each message once, and ends at the head that the stream had when the reading reached it.
package ledger
