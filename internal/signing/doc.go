// Package signing holds the keys with which a deployment signs what it wants to be held to elsewhere, and checks such signatures.
//
//	keys, err := signing.Open(ctx, kv) // of bus.SecretsBucket
//	token, err := keys.Sign("curfew-receipt", payload)
//	payload, kid, err := signing.Verify(keys.Public(), "curfew-receipt", token)
//
// A signature is a JWS in compact form (RFC 7515) by Ed25519 (RFC 8037), with the payload in it: any JOSE library can check it with the public keys, which are a JWK set
// (RFC 7517) whose key ids are thumbprints (RFC 7638). What it was signed as stands in its header "typ", and a signature of one type is none of another.
//
// # What it promises
//
//   - The first process of a deployment makes the key; processes that start at the same time take the same one.
//   - A key once made signs as long as the bucket lives, and is never replaced behind the back of who has kept its public half: Open refuses an entry that it can't read.
//
// # What it does not promise
//
//   - That only Curfew has signed: who can read the bucket CURFEW_SECRETS, or a backup of it, can sign. Who wants to know of a key that was exchanged keeps the public half
//     elsewhere.
package signing
