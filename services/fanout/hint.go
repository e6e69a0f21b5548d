package fanout

import (
	"time"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/gateways"
)

// Hint tells tabs what the registry of sessions has told all gateways. It doesn't block.
func (s *Service) Hint(h gateways.Hint) {
	switch h.Kind {
	case gateways.HintChanged:
		tabs := s.hub.User(h.Tenant, h.User)
		if len(tabs) == 0 {
			return
		}
		changed := newChanged(s.cfg.Replica.Check(tabs[0].Session).Position)
		for _, e := range tabs {
			e.Value.here(func() { s.tellChanged(e.Value, changed) })
		}
	case gateways.HintExpiring:
		frame, err := tab.EncodeSessionExpiring(tab.SessionExpiring{Reason: string(h.Reason), At: instant(h.At), InMS: max(time.Until(h.At).Milliseconds(), 0)})
		s.hint(h, tab.TypeSessionExpiring, frame, err)
	case gateways.HintRenewed:
		frame, err := tab.EncodeSessionRenewed(tab.SessionRenewed{})
		s.hint(h, tab.TypeSessionRenewed, frame, err)
	}
}

// hint tells the tabs of one session.
func (s *Service) hint(h gateways.Hint, typ tab.FrameType, frame []byte, err error) {
	if err != nil {
		return // it holds nothing that couldn't be encoded
	}
	m := newMessage(frame, 0)
	for _, e := range s.hub.User(h.Tenant, h.User) {
		if e.Session.ID != h.Session {
			continue
		}
		e.Value.here(func() {
			if e.Value.sendHint(m) {
				s.cfg.Metrics.Notices.WithLabelValues(string(typ)).Inc()
			}
		})
	}
}
