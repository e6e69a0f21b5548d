package fanout

import (
	"net"
	"syscall"
	"time"
)

// tcpUserTimeout is Linux's TCP_USER_TIMEOUT (RFC 5482), which package syscall has no name for.
const tcpUserTimeout = 0x12

// giveUpAfter has the kernel end a conn whose peer hasn't acknowledged for that long what was sent to it. A kernel that can't leaves it to the heartbeat.
func giveUpAfter(t *net.TCPConn, d time.Duration) {
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(d.Milliseconds()))
	})
}
