package fanout

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/problem"
)

// passPrefix begins the names of cookies that hold a browser's pass. It has browsers take them from this host alone, over TLS (RFC 6265bis section 4.1.3.2).
const passPrefix = "__Host-curfew-notices-"

// passCookie names the cookie of an origin: pages of two applications have a pass each, with one gateway.
func passCookie(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return passPrefix + hex.EncodeToString(sum[:8])
}

// handleNotices opens a stream of notices.
func (s *Service) handleNotices(w http.ResponseWriter, r *http.Request) {
	origin, p := s.originOf(r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	allow(w.Header(), origin)
	if r.Method != http.MethodGet || hasBody(r) {
		// A pattern of GET takes HEAD too, whose answer has no body to stream.
		w.Header().Set("Allow", http.MethodGet)
		s.refuse(w, problem.New(http.StatusMethodNotAllowed, "method_not_allowed", "A stream of notices is opened with GET, without a body."))
		return
	}
	if r.Header.Get("Last-Event-ID") == tab.StreamOver {
		// The browser comes back by itself after an end for good, whatever its cookie shows by now: a page that wants another stream opens one.
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	who, p := s.identifyByPass(r, origin)
	if who == nil && p.Status == 0 && s.cfg.Session == nil {
		p = passMissing()
	}
	if p.Status != 0 {
		s.refuseStream(w, r, p)
		return
	}
	peer, known := s.peerOf(r.RemoteAddr), who != nil
	if p := s.enter(peer, known); p.Status != 0 {
		s.refuseStream(w, r, p)
		return
	}
	opened := false
	defer func() {
		if !opened {
			s.giveUp(peer, known)
		}
	}()
	if who == nil {
		// This may take a while, and so it is done in a place.
		if who, p = s.identifyBySession(r, origin); p.Status != 0 {
			s.refuseStream(w, r, p)
			return
		}
	}
	call := caller{origin: origin, who: who}
	// A browser tells by itself what it has heard last, or not: what isn't a position tells nothing.
	call.known.position, _ = strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64)
	h := w.Header()
	setStream(h)
	nc, rw, err := http.NewResponseController(w).Hijack()
	switch {
	case errors.Is(err, http.ErrNotSupported):
		opened = true
		s.streamOverHTTP2(w, r, peer, known, call)
		return
	case err != nil:
		s.cfg.Metrics.Refused.WithLabelValues("upgrade_failed").Inc()
		return
	}
	_ = nc.SetDeadline(time.Time{})
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	early = bytes.Clone(early)
	_ = firstWords(w)
	// Its end is that of the connection (RFC 9112 section 6.3), so it needs no chunks.
	h.Set("Connection", "close")
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = h.Write(&head) // a buffer takes all
	head.WriteString("\r\n")
	opened = true
	c := s.newStream(nc, early, peer, head.Bytes())
	c.seated = known
	s.open(c, call)
}

func setStream(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // nginx would gather
}

// refuseStream is refuse, but for an EventSource that may come again: at another status than 200 it would give up for good (HTML Living Standard section 9.2.2), as
// those would that come back to a gateway which still drains. It gets a stream that ends at once, and is told when to come back.
func (s *Service) refuseStream(w http.ResponseWriter, r *http.Request, p problem.Problem) {
	if !p.Retry || r.Header.Get("Accept") != "text/event-stream" {
		s.refuse(w, p)
		return
	}
	s.cfg.Metrics.Refused.WithLabelValues(p.Code).Inc()
	code, reason := tab.CloseOverloaded, "try again later"
	if p.Code == "draining" {
		code, reason = tab.CloseDrain, tab.DrainReason(p.RetryAfter)
	}
	setStream(w.Header())
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(append(reconnectAfter(p.RetryAfter), new(eventStream).closing(code, reason)...)) // who is gone comes again anyhow
}

// streamOverHTTP2 opens a stream within a connection that isn't ours to take. It returns when the stream is over, and its goroutine is the server's, which costs
// several times as much memory as one of ours.
func (s *Service) streamOverHTTP2(w http.ResponseWriter, r *http.Request, peer peerKey, known bool, call caller) {
	w.WriteHeader(http.StatusOK)
	l := newSharedLink(w, r)
	c := s.newStream(l, nil, peer, nil)
	c.seated = known
	if s.welcome(c, call) {
		c.listen()
	}
}

// newStream returns a conn on l, of which early has been read already, and on which head is to be written first.
func (s *Service) newStream(l link, early []byte, peer peerKey, head []byte) *conn {
	c := s.newConn(l, peer)
	c.wire = &eventStream{from: after(early, l)}
	// Spread, so that those who lose their streams together don't come back together.
	c.queue = [][]byte{append(head, reconnectAfter(time.Second+rand.N(4*time.Second))...)}
	return c
}

// identifyBySession tells who a stream is for by what the deployment takes instead of a ticket.
func (s *Service) identifyBySession(r *http.Request, origin string) (*identity, problem.Problem) {
	who, p := s.identify(r, "", origin)
	if who == nil && p.Status == 0 {
		p = passMissing()
	}
	return who, p
}

func passMissing() problem.Problem {
	return problem.New(http.StatusUnauthorized, "pass_missing", "Exchange a ticket first: POST "+pathNotices+`, with {"ticket": "…"} and credentials included.`)
}

// identifyByPass tells who a stream is for by the cookie that a ticket was exchanged for: nobody, without a problem, if there is none.
func (s *Service) identifyByPass(r *http.Request, origin string) (*identity, problem.Problem) {
	if !slices.ContainsFunc(r.Cookies(), func(c *http.Cookie) bool { return strings.HasPrefix(c.Name, passPrefix) }) {
		return nil, problem.Problem{}
	}
	if s.ambient(r, origin) {
		return nil, problem.New(http.StatusForbidden, "origin_missing", "A stream that is opened by a cookie must come from an allowed Origin: browsers send it.")
	}
	origins := []string{origin}
	if origin == "" {
		// From the gateway's own origin, as the browser has said, which doesn't name it then.
		origins = s.ownOrigins(r)
	}
	var refused problem.Problem // none, where there are only those of other origins
	for _, origin := range origins {
		passes := r.CookiesNamed(passCookie(origin))
		if len(passes) > 1 {
			return nil, problem.New(http.StatusUnauthorized, "ticket_refused", "There is more than one cookie "+passes[0].Name+": exchange a new ticket.")
		}
		for _, c := range passes {
			t, err := s.tickets.openPass(c.Value, origin, time.Now())
			if err == nil {
				return t.identity(), problem.Problem{}
			}
			s.cfg.Log.WithError(err).Debug("pass refused")
			refused = ticketProblem(err)
		}
	}
	return nil, refused
}

// ownOrigins returns the allowed origins that a request may have been sent to, of which whoever speaks TLS in front knows the one.
func (s *Service) ownOrigins(r *http.Request) (own []string) {
	for _, o := range s.cfg.AllowedOrigins {
		if _, host, _ := strings.Cut(o, "://"); host == r.Host {
			own = append(own, o)
		}
	}
	return own
}

// streamName returns what acknowledgements name a stream by, which only its tab is told; empty for a WebSocket.
func (s *Service) streamName(c *conn) string {
	if c.wire.answers() {
		return ""
	}
	return s.tickets.seal(streamNumber(s.process, c.number), forName)
}

func streamNumber(process, stream uint64) []byte {
	return strconv.AppendUint(append(strconv.AppendUint(nil, process, 36), '.'), stream, 36)
}
