package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/ledger"
)

// errKeyRevoked ends a reading whose API key has been revoked meanwhile.
var errKeyRevoked = errors.New("the reader's API key was revoked")

const (
	// lineTimeout bounds each write, since the whole answer has no end, or a late one.
	lineTimeout = 10 * time.Second
	// gathered is how much of a whole range is written at once.
	gathered = 64 << 10
)

// lines streams records as NDJSON: to the end of the range, or until the caller goes away. One that follows begins once nothing can be missed any more; an empty line each 15 s without news
// finds out whether the caller is still there. A stream that breaks on this side is cut off, so that it doesn't look complete.
func (s *Service) lines(w http.ResponseWriter, r *http.Request, keyID string, f *filter) {
	out := s.lineWriter(w, keyID)
	_ = out.ctl.SetReadDeadline(time.Time{})
	f.span.CaughtUp = caughtUp(r.Context())
	err := s.cfg.Ledger.Read(r.Context(), f.span, func(entry ledger.Entry) error {
		if entry.Event == nil || !f.match(entry.Event) {
			return nil
		}
		return out.line(f.span.Follow, func(b []byte) []byte { return appendRecord(b, entry) })
	}, func() error { return out.line(true, func(b []byte) []byte { return b }) })
	if err == nil {
		err = out.flush()
	}
	s.endLines(w, r, out, err, "a reader of the history was cut off")
}

// endLines says why an answer of lines has ended, if it isn't whole: by another answer, or, once it has begun, by cutting it off.
func (s *Service) endLines(w http.ResponseWriter, r *http.Request, out *lineWriter, err error, what string) {
	switch {
	case err == nil:
	case !out.began:
		s.unreadable(w, r, err)
	default:
		if r.Context().Err() == nil {
			s.cfg.Log.WithError(err).Info(what)
		}
		// Also when the context has ended: that may be because this process stops, and its caller is there.
		app.CutOff()
	}
}

// lineWriter writes lines to a caller that may be slow, or gone.
type lineWriter struct {
	w     http.ResponseWriter
	ctl   *http.ResponseController
	live  func() bool
	buf   []byte
	began bool
}

// lineWriter writes as long as the caller's key isn't revoked.
func (s *Service) lineWriter(w http.ResponseWriter, keyID string) *lineWriter {
	return &lineWriter{w: w, ctl: http.NewResponseController(w), live: func() bool { return s.cfg.Keys.Live(keyID) }}
}

// line takes a line, and sends what was gathered if there is much of it, or at once.
func (o *lineWriter) line(atOnce bool, add func([]byte) []byte) error {
	o.buf = append(add(o.buf), '\n')
	if !atOnce && len(o.buf) < gathered {
		return nil
	}
	return o.flush()
}

func (o *lineWriter) flush() error {
	if !o.live() {
		return errKeyRevoked
	}
	if !o.began {
		o.began = true
		o.w.Header().Set("Content-Type", lineType)
		o.w.Header().Set("Cache-Control", "no-store")
		o.w.WriteHeader(http.StatusOK)
	}
	if err := o.ctl.SetWriteDeadline(time.Now().Add(lineTimeout)); err != nil {
		return err
	}
	if _, err := o.w.Write(o.buf); err != nil {
		return err
	}
	o.buf = o.buf[:0]
	return o.ctl.Flush()
}

// appendRecord adds a record as JSON, in one line. What the ledger holds is JSON, for it was decoded, but it may have been written in several.
func appendRecord(b []byte, entry ledger.Entry) []byte {
	b = strconv.AppendUint(append(b, `{"position":`...), entry.Position, 10)
	b = entry.Stored.UTC().AppendFormat(append(b, `,"stored":"`...), time.RFC3339Nano)
	b = append(b, `","event":`...)
	if bytes.ContainsAny(entry.Data, "\r\n") {
		var flat bytes.Buffer
		if err := json.Compact(&flat, entry.Data); err == nil {
			return append(append(b, flat.Bytes()...), '}')
		}
	}
	return append(append(b, entry.Data...), '}')
}
