package gateways

import (
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/bus"
)

// maxPassed is how many acknowledgements wait that were passed on; of what comes beyond that, nats.go drops.
const maxPassed = 256

// PassedAck is an acknowledgement that came to another gateway than the one whose tab it is: streams are acknowledged beside themselves, and a proxy sends that wherever
// it likes.
type PassedAck struct {
	// Stream is what the tab was told to name its stream by. Who passes it on has verified it.
	Stream string `json:"stream"`
	// Notice is the id of the notice, which need not be that of an event.
	Notice  string      `json:"notice"`
	Outcome tab.Outcome `json:"outcome"`
}

// passedAck is PassedAck as a message.
type passedAck struct {
	V int `json:"v"`
	PassedAck
}

func (p *passedAck) version() int { return p.V }

// maxStreamBytes is far above the length of a stream's name.
const maxStreamBytes = 256

func (a PassedAck) inForm() bool {
	return a.Stream != "" && len(a.Stream) <= maxStreamBytes && a.Notice != "" && len(a.Notice) <= tab.MaxNoticeIDBytes && isOutcome(a.Outcome)
}

// PassOn tells all gateways of an acknowledgement, of which one knows the stream. Whether one does isn't told: it is at most once. It returns ErrInvalid, and what NATS
// says.
func (g *Gateway) PassOn(a PassedAck) error {
	if !a.inForm() {
		return fmt.Errorf("gateways: %w: the acknowledgement isn't in form", ErrInvalid)
	}
	data, err := encode(passedAck{V: version, PassedAck: a})
	if err != nil {
		return err
	}
	if err := g.nc.Publish(bus.LivePassedAcksTopic, data); err != nil {
		return fmt.Errorf("gateways: pass an acknowledgement on: %w", err)
	}
	return nil
}

// takePassed begins to take what others pass on; the caller closes it. It returns nil if nobody wants it.
func (g *Gateway) takePassed() (*bus.Hearing, error) {
	if g.cfg.Passed == nil {
		return nil, nil
	}
	return bus.Hear(g.nc, bus.LivePassedAcksTopic, maxPassed, func(msg *nats.Msg) { g.take(msg.Data) })
}

func (g *Gateway) take(data []byte) {
	var p passedAck
	if len(data) > maxQuestionBytes || decode(data, &p) != nil || !p.inForm() {
		g.counts.bad.Add(1)
		return
	}
	g.cfg.Passed(p.PassedAck)
}
