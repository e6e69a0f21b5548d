// Package ledger reads ranges of the ledger for people and tools, and for those who follow one tenant: a user's history, everything since a time, and what
// comes from now on, with the beats among it that prove it if they are asked for. Its leader tells the head, and the time by which beats are dated.
//
// It reads with an ephemeral consumer that leaves nothing behind. It doesn't feed replicas; package revocationnats does. What it reads
// is in the stream's order, each message once, and ends at the head that the stream had when the reading reached it.
package ledger
