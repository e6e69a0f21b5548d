// Package fingerprint turns a typed id within its tenant into 128 bits under a secret key: AES-CMAC (RFC 4493, NIST SP 800-38B) with AES-128.
//
// What is hashed is injective: one byte for the kind, three for the tenant's length, the tenant, zeros up to a multiple of sixteen bytes, and the id. So
// no two of (kind, tenant, id) give the same message, however they would look when joined. Ids aren't empty; an empty one would count as a block that
// isn't full, which RFC 4493 has only for a message without any. The lowest byte is a tag, which is never 0: see [Tag].
//
// Whoever doesn't know the key can't choose ids whose fingerprints fall together, neither to slow a table down nor to be taken for somebody else.
// Whoever does know it can: CMAC can be undone block by block with its key, so that for any fingerprint, of whatever kind and tenant, another id is found in
// milliseconds. So the key is a secret to all who may choose ids.
//
// The work is done by the instructions that processors have for AES, in a form that adds nothing to them but CMAC: an id of up to 32 bytes takes two
// blocks. Where there are none that we know, the standard library's AES does it, some times slower, and with the same result.
package fingerprint
