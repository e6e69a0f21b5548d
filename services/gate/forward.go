package gate

import (
	"errors"
	"net/http"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// newForward returns the middleware that answers forward-auth.
func (s *Service) newForward() (*revocationhttp.Middleware, error) {
	return revocationhttp.New(revocationhttp.Config{
		Replica: s.cfg.Replica, Passes: s.cfg.Passes, Session: s.cfg.Session, Policy: revocationhttp.Policy{DangerouslyFailOpen: s.cfg.DangerouslyFailOpen},
		OnDecision: func(_ *http.Request, d revocation.Decision) { s.count(d) },
		// The metric counts; a line for each would fill the disk in the very hour when that hurts most.
		OnFailOpen: func(*http.Request, revocation.Decision) { s.cfg.Metrics.FailOpen.Inc() },
		OnEpisode:  s.logEpisode,
		OnError: func(_ *http.Request, err error) {
			code := revocationhttp.AnswerError(err).Code
			s.cfg.Metrics.Refused.WithLabelValues(code).Inc()
			// The others are the callers' mistakes.
			if errors.Is(err, revocationhttp.ErrKeysUnavailable) {
				s.keysLog.Do(func() {
					s.cfg.Log.WithError(err).WithField(telemetry.FieldCode, code).Error("tokens can't be verified: forward-auth refuses")
				})
			}
		},
	})
}

// logEpisode tells of requests that pass although nobody knows whether their sessions are over: when that begins, and when it is over.
func (s *Service) logEpisode(e revocationhttp.Episode) {
	log := s.cfg.Log.WithError(e.Cause)
	if !e.Over {
		log.Warn("requests pass although their sessions are undetermined")
		return
	}
	log.WithFields(logrus.Fields{telemetry.FieldRequests: e.Requests, telemetry.FieldDuration: e.Last.Sub(e.Began).Milliseconds()}).
		Info("no more requests pass with undetermined sessions")
}

// forwarded answers a caller whose session is active, or was passed by choice.
func forwarded(w http.ResponseWriter, r *http.Request) {
	session, _ := revocationhttp.SessionFrom(r.Context())
	h := w.Header()
	h.Set("X-User-ID", headerValue(session.User))
	h.Set("X-Session-ID", headerValue(session.ID))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// headerValue returns an id as a header carries it: bytes other than visible ASCII, and the percent sign, are percent-encoded (RFC 3986
// section 2.1). Ids hold no control characters, but a space at an end is cut off by whoever reads the header, and what is beyond ASCII
// is read in more than one way; then two users would become one. Different ids stay different, and ordinary ones as they are.
func headerValue(id string) string {
	visible := func(c byte) bool { return c > ' ' && c < 0x7f && c != '%' }
	clean := true
	for i := range len(id) {
		clean = clean && visible(id[i])
	}
	if clean {
		return id
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(id) {
		if c := id[i]; visible(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
