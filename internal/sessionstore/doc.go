// Package sessionstore keeps the sessions that people can see and end. A [Store] has one contract and several forms: [Memory] here, package sessionkv over
// JetStream, and package redisstore over Redis; package sessionstoretest holds each of them to it.
//
//	stored, created, err := store.Create(ctx, session, due)
//	list, more, err := store.Sessions(ctx, "acme", "u-1", 100)
//	touched, err := store.Touch(ctx, "acme", []sessionstore.Touch{{ID: "s-1", At: now}})
//
// # What it promises
//
//   - One session for an id: of several that create it, one does, and the others get what that one has stored.
//   - Touch, Warn and End of one session come one after the other. A session that has ended is touched by nobody any more, and End with a time of the last touch
//     ends no session that was touched after it. So whoever is told that a touch was taken which is later than those before knows that nobody has ended the session as idle.
//   - The last touch never moves back.
//   - What Due returns is due; what is due is returned until it is postponed, at least once in a while.
//   - What one process has written another sees: at once in Redis, and as soon as it has heard of it in JetStream, some milliseconds later.
//
// # What it does not promise
//
//   - That a session is over or not: that is the ledger's, and a [Store] that is lost has lost no revocation. [Session.Ended] tells why and when, for people.
//   - Durability beyond that of the store. Touches and sessions of the last moments before a machine crashes may be lost.
//   - Order between sessions.
//
// Ids of tenants, users and sessions are taken to be in form. Times are kept in whole milliseconds. A store is safe for concurrent use.
package sessionstore
