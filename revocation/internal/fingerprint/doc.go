// Package fingerprint turns a typed id within its tenant into 128 bits under a secret key: SipHash-1-3 with 128 bits of output, by Jean-Philippe
// Aumasson and Daniel J. Bernstein ("SipHash: a fast short-input PRF", 2012; the 128-bit form is in their reference code).
//
// What is hashed is injective: one byte for the kind, three for the tenant's length, the tenant, zeros up to a multiple of eight bytes, and the id; SipHash
// adds the length of all. So no two of (kind, tenant, id) give the same message, however they would look when joined.
//
// Whoever doesn't know the key can't choose ids whose fingerprints fall together, neither to slow a table down nor to be taken for somebody else.
// That is all that it protects: a key that leaks forges nothing.
//
// The first 64 bits are enough to look for most ids that aren't there, so the other 64 are computed only when they are needed ([Within.Second]).
package fingerprint
