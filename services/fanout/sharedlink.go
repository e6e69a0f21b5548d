package fanout

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// sharedLink is a stream of HTTP/2, of which a connection carries many. Nothing is read from it: Read waits for its end.
type sharedLink struct {
	w  http.ResponseWriter
	rc *http.ResponseController
	// gone ends when the peer has left, or the server does.
	gone context.Context

	mu sync.Mutex
	// closed and expired are closed by Close and by the deadline of reading.
	closed, expired chan struct{}
	expiry          *time.Timer
	writeUntil      time.Time
}

func newSharedLink(w http.ResponseWriter, r *http.Request) *sharedLink {
	l := &sharedLink{w: w, rc: http.NewResponseController(w), gone: r.Context(), closed: make(chan struct{}), expired: make(chan struct{})}
	// The server's own would end the stream after some seconds, whatever is written.
	_ = l.rc.SetWriteDeadline(time.Time{})
	return l
}

func (l *sharedLink) Read([]byte) (int, error) {
	l.mu.Lock()
	expired := l.expired
	l.mu.Unlock()
	select {
	case <-l.gone.Done():
		return 0, io.EOF
	case <-l.closed:
		return 0, net.ErrClosed
	case <-expired:
		return 0, os.ErrDeadlineExceeded
	}
}

// Write writes and flushes. The deadline is taken away again, because one that is left over ends the stream.
func (l *sharedLink) Write(p []byte) (int, error) {
	l.mu.Lock()
	until := l.writeUntil
	l.mu.Unlock()
	select {
	case <-l.closed:
		return 0, net.ErrClosed
	default:
	}
	if err := l.rc.SetWriteDeadline(until); err != nil {
		return 0, err
	}
	n, err := l.w.Write(p)
	if err == nil {
		err = l.rc.Flush()
	}
	if err == nil {
		err = l.rc.SetWriteDeadline(time.Time{})
	}
	return n, err
}

// Close has Read and every later Write return at once.
func (l *sharedLink) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return net.ErrClosed
	default:
		close(l.closed)
	}
	if l.expiry != nil {
		l.expiry.Stop()
	}
	return nil
}

// SetReadDeadline has the Read that is under way end at t at the latest. It is never taken back, because who sets one is about to leave.
func (l *sharedLink) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return net.ErrClosed
	default:
	}
	if l.expiry != nil && !l.expiry.Stop() {
		return nil // it has passed
	}
	l.expiry = time.AfterFunc(time.Until(t), func() { close(l.expired) })
	return nil
}

// SetWriteDeadline sets that of the next Write.
func (l *sharedLink) SetWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writeUntil = t
	return nil
}
