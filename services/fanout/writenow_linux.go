package fanout

import (
	"errors"
	"net"
	"syscall"
)

// writeNow writes what a link takes at once, and returns how much that was: nothing if it takes nothing, is broken, or isn't plain TCP. It never blocks.
func writeNow(l link, b []byte) (n int) {
	t := plain(l)
	if t == nil {
		return 0
	}
	// Not as a RawConn writes: the deadline of an earlier write would end it.
	_ = withSocket(t, func(fd int) (err error) {
		for n, err = syscall.Write(fd, b); errors.Is(err, syscall.EINTR); n, err = syscall.Write(fd, b) {
			continue
		}
		return err
	})
	return max(n, 0)
}

// withSocket calls do with a conn's descriptor, which isn't closed meanwhile.
func withSocket(t *net.TCPConn, do func(fd int) error) error {
	raw, err := t.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	if err := raw.Control(func(fd uintptr) { done = do(int(fd)) }); err != nil {
		return err
	}
	return done
}
