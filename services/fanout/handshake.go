package fanout

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxHeadBytes bounds a request's line and headers, as the HTTP server does. Cookies are the largest part of them.
const maxHeadBytes = 32 << 10

// handshake is a tab's request and its answer, on a connection that no HTTP server has seen. It is an [http.ResponseWriter] whose connection can be taken over.
type handshake struct {
	svc     *Service
	nc      net.Conn
	buffers *handshakeBuffers
	header  http.Header
	// wrote is whether the status has been written, and taken whether the connection has been: out is then what is to be written on it first.
	wrote, taken bool
	out          bytes.Buffer
}

// handshakeBuffers are used again for the next handshake, as soon as one is over.
type handshakeBuffers struct {
	limit io.LimitedReader
	br    *bufio.Reader
	bw    *bufio.Writer
}

// newHandshakes returns a pool of them.
func newHandshakes() *sync.Pool {
	return &sync.Pool{New: func() any {
		return &handshakeBuffers{br: bufio.NewReaderSize(nil, 4<<10), bw: bufio.NewWriterSize(nil, 1<<10)}
	}}
}

// serveTab answers the request of a tab, of which first has been read already, on a connection of its own. It calls read once it has
// read the request, or can't.
func (s *Service) serveTab(nc net.Conn, first []byte, read func()) {
	h := &handshake{svc: s, nc: nc, buffers: s.handshakes.Get().(*handshakeBuffers), header: http.Header{}}
	h.buffers.limit = io.LimitedReader{R: io.MultiReader(bytes.NewReader(first), nc), N: maxHeadBytes}
	h.buffers.br.Reset(&h.buffers.limit)
	h.buffers.bw.Reset(nc)
	defer func() {
		read()
		if s.panicked(recover()) {
			_ = nc.Close()
			return
		}
		if !h.taken {
			h.finish()
			h.release()
		}
	}()
	r, err := http.ReadRequest(h.buffers.br)
	read()
	switch {
	case err != nil && h.buffers.limit.N <= 0:
		http.Error(h, "The request's headers are too large: send fewer cookies.", http.StatusRequestHeaderFieldsTooLarge)
		return
	case err != nil:
		http.Error(h, "This is no HTTP request.", http.StatusBadRequest)
		return
	case r.ProtoMajor != 1 || hasBody(r):
		http.Error(h, "A request of this kind is of HTTP/1.1 and has no body.", http.StatusBadRequest)
		return
	}
	r.RemoteAddr = nc.RemoteAddr().String()
	if s.cfg.Session != nil {
		// Which may have to fetch keys.
		r = r.WithContext(s.ctx)
	}
	if r.URL.Path == pathConnect {
		s.handleConnect(h, r)
		return
	}
	s.handleNotices(h, r) // there are two
}

func (h *handshake) Header() http.Header { return h.header }

func (h *handshake) WriteHeader(status int) {
	if h.wrote {
		return
	}
	h.wrote = true
	h.header.Set("Connection", "close")
	h.header.Set("X-Content-Type-Options", "nosniff")
	// What doesn't get through is no news to anybody.
	_, _ = fmt.Fprintf(h.buffers.bw, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = h.header.Write(h.buffers.bw)
	_, _ = h.buffers.bw.WriteString("\r\n")
}

func (h *handshake) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.buffers.bw.Write(p)
}

// Hijack gives the connection away, with what was read of it. What is written to the writer is kept in out, to be sent together with the first frame.
func (h *handshake) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.taken = true
	h.buffers.bw.Reset(&h.out)
	return h.nc, bufio.NewReadWriter(h.buffers.br, h.buffers.bw), nil
}

// finish writes the answer and closes the connection, after the peer has had a moment to read it: closed with unread bytes it would be reset.
func (h *handshake) finish() {
	defer h.nc.Close()
	_ = h.nc.SetDeadline(time.Now().Add(time.Second))
	if h.buffers.bw.Flush() != nil {
		return
	}
	// Not if too many are waited for: who refuses very many would have as many goroutines and files.
	defer h.svc.lingering.Add(-1)
	if h.svc.lingering.Add(1) > int64(h.svc.cfg.MaxHandshakes) {
		return
	}
	if half, ok := h.nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, h.nc, 64<<10)
	}
}

// release gives the buffers back, once the connection was taken over and what was read of it is safe.
func (h *handshake) release() {
	b := h.buffers
	if b == nil {
		return
	}
	h.buffers = nil
	b.limit.R = nil
	b.br.Reset(nil)
	b.bw.Reset(nil)
	h.svc.handshakes.Put(b)
}

// giveBack takes the connection back, for serveTab to close. What was written since it was given away, the answer to a bad handshake, is sent.
func (h *handshake) giveBack() {
	h.taken = false
	h.buffers.bw.Reset(h.nc)
	_, _ = h.buffers.bw.Write(h.out.Bytes())
}

// firstWords returns what is to be written first on a connection that was taken over, and gives the buffers of its handshake back. One that was taken from the HTTP server
// has nothing left to be written, and the server's buffers are lost.
func firstWords(w http.ResponseWriter) [][]byte {
	h, ok := w.(*handshake)
	if !ok {
		return nil
	}
	h.release()
	if h.out.Len() == 0 {
		return nil
	}
	return [][]byte{h.out.Bytes()}
}
