package fanout

import (
	"crypto/tls"
	"io"
	"net"
	"time"

	"github.com/curfewhq/curfew/events/tab"
)

// wire is how a conn speaks: webSocket or eventStream. What else a conn is, who it is for, what waits to be written and when it ends, knows nothing of it,
// nor of the library beneath.
type wire interface {
	// transport is the wire's name in answers and metrics.
	transport() string
	// form returns a message as it is written. It is shared, and mustn't be changed.
	form(*message) []byte
	// ping returns what asks for a sign of life, or is there to be acknowledged by the peer's kernel, and shows one to the page. It is shared.
	ping() []byte
	// pong returns what answers a peer's ping; nil if there is no need to.
	pong(payload []byte) []byte
	// closing returns what tells the peer that the conn is over.
	closing(code tab.CloseCode, reason string) []byte
	// await waits until the peer says something, on a small stack.
	await() error
	// next returns the peer's next message; or nil if it said something that is no message, and was dealt with. It waits if it has to. No call follows one of
	// either that returned an error.
	next() ([]byte, error)
	// rests reports whether nothing was read of the peer that next hasn't returned.
	rests() bool
	// whole reports whether what the peer has said, of which nothing was read before, ends where a message of it does, so that next doesn't wait when it reads that, and isn't
	// so much that it takes long.
	whole(said []byte) bool
	// reads has next and await read from elsewhere.
	reads(from io.Reader)
	// answers is whether the peer can answer: acknowledge a notice, or say that it is still there.
	answers() bool
}

// link is what carries a conn: a [net.Conn], or a stream of HTTP/2. Like a net.Conn it takes calls from several goroutines at once.
type link interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// socket returns what lies beneath TLS, and beneath what Front has put around it; or l.
func socket(l link) link {
	for {
		switch t := l.(type) {
		case *begun:
			l = t.Conn
		case *tls.Conn:
			l = t.NetConn()
		default:
			return l
		}
	}
}

// bound keeps the kernel from hiding a slow conn, or one whose peer is gone: with its default buffers one that never reads swallows megabytes before anything is
// noticed, and what was sent is tried again for a quarter of an hour. The kernel's own keep-alives have to be off: of those a single lost one would end the conn at
// the next, because the timeout stands for their number (tcp(7)).
func bound(l link) {
	if t, ok := socket(l).(*net.TCPConn); ok {
		_ = t.SetWriteBuffer(16 << 10)
		_ = t.SetReadBuffer(8 << 10)
		_ = t.SetKeepAlive(false)
		giveUpAfter(t, unackedTimeout)
	}
}

// unackedTimeout is for how long what was sent may go without the peer's acknowledgement.
const unackedTimeout = 15 * time.Second
