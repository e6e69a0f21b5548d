package app

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"

	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// recovered turns a panic into a 500 and an error line, and keeps the process alive. If the answer had begun already, the connection is
// ended instead: what was sent can't be taken for a whole answer, and nothing can be added to it.
func recovered(next http.Handler, log logrus.FieldLogger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &watched{ResponseWriter: w}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				CutOff()
			}
			log.WithField(telemetry.FieldPanic, fmt.Sprint(p)).WithField(telemetry.FieldStack, string(debug.Stack())).Error("a handler panicked")
			if answer.begun {
				CutOff()
			}
			clear(w.Header()) // what the handler said of its own answer doesn't hold for this one
			w.Header().Set("X-Content-Type-Options", "nosniff")
			problem.New(http.StatusInternalServerError, "internal_error", "Something broke inside; the server's log tells what.").Write(w)
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(answer, r)
	})
}

// CutOff ends a handler whose answer has begun and mustn't be taken for a whole one, and the caller's connection or stream with it. It doesn't return: a panic with this value is the only word that net/http
// has for that, over HTTP/1.1 and HTTP/2 alike (http.ErrAbortHandler).
func CutOff() { panic(http.ErrAbortHandler) }

// watched knows whether an answer has begun. It flushes and hijacks, so that streams and WebSockets work, as far as what it wraps does.
type watched struct {
	http.ResponseWriter
	begun bool
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watched) WriteHeader(status int) {
	// The other informational answers come before the answer.
	w.begun = w.begun || status >= 200 || status == http.StatusSwitchingProtocols
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

func (w *watched) FlushError() error {
	w.begun = true
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *watched) Flush() { _ = w.FlushError() }

func (w *watched) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.begun = true
	return http.NewResponseController(w.ResponseWriter).Hijack()
}
