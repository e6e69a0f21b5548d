//go:build amd64 || arm64

package fingerprint

// chain absorbs a block that is followed by another.
//
//go:noescape
func chain(s *schedule, st *state, b *block)

// finish absorbs a text, which is the end of the message, and returns the fingerprint. It reads nothing beyond the n bytes from text on.
//
//go:noescape
func finish(s *schedule, st *state, text *byte, n int) (first, second uint64)
