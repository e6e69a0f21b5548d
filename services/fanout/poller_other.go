//go:build !linux

package fanout

// poller leaves it to a goroutine for each conn.
type poller struct{}

func (*poller) add(*conn) bool { return false }
func (*poller) remove(*conn)   {}
func (*poller) close()         {}
