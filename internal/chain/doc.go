// Package chain is the arithmetic of the audit chain: what is hashed of the ledger, what a checkpoint says, and whether a ledger is the one that checkpoints were made of. It reads and writes
// nothing by itself, so the one who makes checkpoints and the one who checks them, elsewhere and later, do the same sums.
//
// # The chain
//
// Each event of the ledger has a leaf, and the chain is the running hash over the leaves; ‖ puts together, numbers are 64 bits with the highest first, and each text is preceded by its length:
//
//	leaf = SHA-256(0x00 ‖ position ‖ stored, in nanoseconds since 1970 ‖ topic ‖ headers, sorted by name ‖ SHA-256(payload))
//	hᵢ   = SHA-256(0x01 ‖ hᵢ₋₁ ‖ leafᵢ)
//	h₀   = SHA-256("curfew-audit/1" ‖ the chain's id ‖ when the ledger was made ‖ the chain's first position)
//
// The headers are their number, and then each name with the number of its values and these.
//
// Beats aren't in it. They are a minute old at most, so a chain over them could never be checked; the positions at which they lay are in no list of a checkpoint, and what lies there later is noticed as added.
//
// # Checkpoints
//
// A checkpoint says that the ledger had certain events up to a position, and is signed. It holds the running hash, and 16 bytes of the leaf of each event since the checkpoint before it: the
// hash tells that something isn't as it was, and the digests where. So a chain can be checked from any checkpoint on, and what the ledger has forgotten by its retention is no gap in it.
// Each checkpoint names the hash of the one before it, and its own number, which is its place in the stream of checkpoints.
//
// # What it can't show
//
// Whoever holds the key that signs, and all copies of the checkpoints, can make another chain that fits. A checkpoint shows what was there when it was made, and nothing of what was done to the ledger before
// that. docs/audit.md has the whole list.
package chain
