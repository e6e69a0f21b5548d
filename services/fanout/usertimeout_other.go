//go:build !linux

package fanout

import (
	"net"
	"time"
)

// giveUpAfter leaves it to the heartbeat where the kernel has no such setting.
func giveUpAfter(*net.TCPConn, time.Duration) {}
