package fanout

import (
	"bytes"
	"hash/maphash"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/problem"
)

// handleConnect upgrades a request. The Origin, the room and the ticket, if the request brings one, are looked at before anything is set up.
func (s *Service) handleConnect(w http.ResponseWriter, r *http.Request) {
	origin, p := s.originOf(r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	offers, p := offersOf(r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	if r.ProtoMajor != 1 || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || hasBody(r) {
		// Before the ticket is used up for nothing.
		s.refuse(w, problem.New(http.StatusBadRequest, "no_websocket", "This is no WebSocket handshake (RFC 6455 section 4.1): send GET over HTTP/1.1 with Upgrade: websocket, and no body."))
		return
	}
	// Looked at, and not used up yet: there may be no room.
	_, err := s.tickets.open(offers.Ticket, origin, time.Now())
	peer, known := s.peerOf(r.RemoteAddr), err == nil
	if p := s.enter(peer, known); p.Status != 0 {
		s.refuse(w, p)
		return
	}
	opened := false
	defer func() {
		if !opened {
			s.giveUp(peer, known)
		}
	}()
	who, p := s.identify(r, offers.Ticket, origin)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	upgrader := ws.HTTPUpgrader{Timeout: 5 * time.Second, Protocol: func(p string) bool { return p == tab.Subprotocol }}
	nc, rw, _, err := upgrader.Upgrade(r, w)
	if err != nil {
		s.cfg.Metrics.Refused.WithLabelValues("upgrade_failed").Inc()
		if h, ok := w.(*handshake); ok {
			h.giveBack()
		} else if nc != nil {
			_ = nc.Close()
		}
		return
	}
	// A client that didn't wait for the answer: its bytes come first.
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	early = bytes.Clone(early)
	c := s.newWebSocket(nc, early, peer)
	c.queue, c.seated = firstWords(w), known
	opened = true
	s.open(c, caller{origin: origin, who: who, known: cursor{position: offers.Position, after: offers.After}})
}

// hasBody reports whether a request has one, which would be taken for what its sender says on the conn.
func hasBody(r *http.Request) bool { return r.ContentLength != 0 || len(r.TransferEncoding) > 0 }

// newWebSocket returns a conn on l, of which early has been read already.
func (s *Service) newWebSocket(l link, early []byte, peer peerKey) *conn {
	c := s.newConn(l, peer)
	c.wire = &webSocket{reader{from: after(early, l), on: c}}
	return c
}

func (s *Service) newConn(l link, peer peerKey) *conn {
	c := &conn{svc: s, link: l, peer: peer, opened: time.Now().UnixMilli(), number: s.latest.Add(1)}
	bound(l)
	c.touch()
	return c
}

// offersOf reads the subprotocols that a request offers.
func offersOf(r *http.Request) (tab.Offers, problem.Problem) {
	var offers tab.Offers
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for offered := range strings.SplitSeq(line, ",") {
			if offers.Add(strings.TrimSpace(offered)) != nil {
				return tab.Offers{}, problem.New(http.StatusBadRequest, "subprotocol_invalid",
					"A subprotocol isn't as it should be: offer "+tab.Subprotocol+", and at most one each of ticket.<ticket>, after.<id of a notice> and position.<number>.")
			}
		}
	}
	if !offers.Speaks {
		return tab.Offers{}, problem.New(http.StatusBadRequest, "subprotocol_missing", "Offer the WebSocket subprotocol "+tab.Subprotocol+".")
	}
	return offers, problem.Problem{}
}

// peerKey is what conns before hello are counted by: a number for an address, which is shorter, and which nobody outside can foresee.
type peerKey uint64

// peerOf returns the key of a socket's other end.
func (s *Service) peerOf(remote string) peerKey {
	return peerKey(maphash.Comparable(s.seed, peerNetwork(remote)))
}

// peerNetwork returns an address of IPv4, or the network of an address of IPv6, of which one host has as many as it likes. Other addresses, as those of a Unix
// socket, count as one.
func peerNetwork(remote string) netip.Prefix {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := ap.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(ip, bits).Masked()
}
