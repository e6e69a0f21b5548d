//go:build !linux

package fanout

// writeNow leaves it to a goroutine.
func writeNow(link, []byte) int { return 0 }
