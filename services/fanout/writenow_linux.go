package fanout

import (
	"errors"
	"net"
	"syscall"
)

// writeNow writes what a link takes at once, and returns how much that was: nothing if it takes nothing, is broken, or isn't plain TCP. It never blocks.
func writeNow(l link, b []byte) (n int) {
	if b, ok := l.(*begun); ok {
		l = b.Conn
	}
	t, ok := l.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return 0
	}
	// Not raw.Write: the deadline of an earlier write would end it.
	_ = raw.Control(func(fd uintptr) {
		var err error
		for n, err = syscall.Write(int(fd), b); errors.Is(err, syscall.EINTR); n, err = syscall.Write(int(fd), b) {
			continue
		}
	})
	return max(n, 0)
}
