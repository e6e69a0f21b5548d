//go:build !linux

package revocation

// interruptions is told by Linux only.
func interruptions() int64 { return 0 }
