// Package access says who may call the API: API keys, kept hashed in a JetStream key-value bucket, each bound to one tenant and a few
// scopes, and revocable.
//
// A key's text is shown once, when it is made: cfw_<id>_<secret>. The id is public and stands in logs; of the secret only its SHA-256 is
// kept. It holds 256 random bits, so a fast hash is enough, and comparing takes constant time.
//
// A key with scope admin manages the keys of its own tenant, one with scope operator those of every tenant; neither can give a scope that it
// lacks itself (ADR 0023).
//
// Each process follows the bucket, so that a request is answered from memory and a revoked key stops working everywhere within
// milliseconds. A process that has lost the bucket goes on with what it knew: a key can't be made up that way, but one that is revoked
// meanwhile works there until the connection is back; then the bucket is followed anew at once ([FollowConn]). Readiness tells of it.
//
// The deployment's secret, from which keys for tickets, log hashes and message ids are derived, lives in the same NATS ([Secret]).
package access
