package gateways

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
)

// maxHints is how many hints wait at a gateway; of what comes beyond that, nats.go drops.
const maxHints = 4096

// HintKind is what a hint is about.
type HintKind string

// The kinds of hints.
const (
	// HintChanged: the user's sessions are others than before.
	HintChanged HintKind = "changed"
	// HintExpiring: the session is about to end. HintRenewed: it isn't any more.
	HintExpiring HintKind = "expiring"
	HintRenewed  HintKind = "renewed"
)

// Hint is what tabs should know that isn't in the ledger. Tabs that miss it lose nothing but a warning.
type Hint struct {
	Kind   HintKind `json:"kind"`
	Tenant string   `json:"tenant"`
	User   string   `json:"user"`
	// Session is empty for HintChanged. Reason and At are HintExpiring's: why, and when.
	Session string        `json:"session,omitempty"`
	Reason  events.Reason `json:"reason,omitempty"`
	At      time.Time     `json:"at,omitzero"`
}

// hint is Hint as a message.
type hint struct {
	V int `json:"v"`
	Hint
}

func (h *hint) version() int { return h.V }

func (h Hint) inForm() bool {
	if events.TenantFault(h.Tenant) != "" || events.IDFault(h.User) != "" {
		return false
	}
	switch h.Kind {
	case HintChanged:
		return true
	case HintExpiring:
		return events.IDFault(h.Session) == "" && !h.At.IsZero() && (h.Reason == events.ReasonIdleTimeout || h.Reason == events.ReasonMaxAge)
	case HintRenewed:
		return events.IDFault(h.Session) == ""
	}
	return false
}

// Tell tells all gateways, at most once. It doesn't wait for NATS. It returns ErrInvalid, and what NATS says.
func Tell(nc *nats.Conn, h Hint) error {
	if !h.inForm() {
		return fmt.Errorf("gateways: %w: the hint isn't in form", ErrInvalid)
	}
	data, err := encode(hint{V: version, Hint: h})
	if err != nil {
		return err
	}
	if err := nc.Publish(bus.LiveHintsTopic, data); err != nil {
		return fmt.Errorf("gateways: tell a hint: %w", err)
	}
	return nil
}

// hear begins to take what is told; the caller closes it. It returns nil if nobody wants it.
func (g *Gateway) hear() (*bus.Hearing, error) {
	if g.cfg.Hint == nil {
		return nil, nil
	}
	return bus.Hear(g.nc, bus.LiveHintsTopic, maxHints, func(msg *nats.Msg) { g.heard(msg.Data) })
}

func (g *Gateway) heard(data []byte) {
	var h hint
	if len(data) > maxQuestionBytes || decode(data, &h) != nil || !h.inForm() {
		g.counts.bad.Add(1)
		return
	}
	g.cfg.Hint(h.Hint)
}
