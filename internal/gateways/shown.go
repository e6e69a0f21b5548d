package gateways

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/internal/bus"
)

// maxShownQuestions is how many questions for an event wait at a gateway; of what comes beyond that, nats.go drops.
const maxShownQuestions = 1024

// Shown is what became of the notice of one event at one gateway. It names neither sessions nor users.
type Shown struct {
	// Behind is whether the gateway hasn't come to the event yet, or is still telling tabs of it.
	Behind bool `json:"behind,omitempty"`
	// Forgotten is whether the gateway doesn't know: it began after the event, or has told tabs of too many others since. The numbers are 0 then.
	Forgotten bool `json:"forgotten,omitempty"`
	// Told counts the tabs that were sent the notice, of which SignedOut, Already and Ignored have acknowledged it with that outcome, and Gone went away without.
	Told      int `json:"told"`
	SignedOut int `json:"signed_out"`
	Already   int `json:"already"`
	Ignored   int `json:"ignored"`
	Gone      int `json:"gone"`
}

// Waiting counts tabs that may still acknowledge.
func (s Shown) Waiting() int { return s.Told - s.SignedOut - s.Already - s.Ignored - s.Gone }

func (s Shown) inForm() bool {
	return min(s.Told, s.SignedOut, s.Already, s.Ignored, s.Gone, s.Waiting()) >= 0
}

// GatewayShown is what one gateway says.
type GatewayShown struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Shown
}

func (g GatewayShown) member() Member { return Member{ID: g.ID, Name: g.Name} }

// ShownAnswer is what the gateways have said of an event.
type ShownAnswer struct {
	// Gateways are those that have answered, by name and id.
	Gateways []GatewayShown
	// Missing and MembersUnknown are as in [Answer].
	Missing        []Member
	MembersUnknown bool
}

type shownQuestion struct {
	V        int    `json:"v"`
	Event    string `json:"event"`
	Position uint64 `json:"position"`
}

type shownAnswer struct {
	answerHead
	Shown
}

func (q *shownQuestion) version() int { return q.V }

func (q *shownQuestion) inForm() bool {
	return len(q.Event) == 36 && uuid.Validate(q.Event) == nil && q.Position > 0
}

// Shown asks all gateways what became of the notice of an event that lies at a position, as Tabs does.
func (f *Fleet) Shown(ctx context.Context, event string, position uint64) (ShownAnswer, error) {
	q := shownQuestion{V: version, Event: event, Position: position}
	if !q.inForm() {
		return ShownAnswer{}, fmt.Errorf("gateways: %w: an event has a UUID and a position", ErrInvalid)
	}
	r, err := ask(ctx, f, bus.LiveShownTopic, q, func(data []byte) (string, GatewayShown, error) {
		var a shownAnswer
		if err := decode(data, &a); err != nil {
			return "", GatewayShown{}, err
		}
		if a.unknown() || !a.inForm() {
			return "", GatewayShown{}, errForm
		}
		return a.Gateway, GatewayShown{ID: a.Gateway, Name: a.Name, Shown: a.Shown}, nil
	})
	if err != nil {
		return ShownAnswer{}, fmt.Errorf("gateways: ask what was shown: %w", err)
	}
	return ShownAnswer{Gateways: r.answers(), Missing: r.missingMembers(), MembersUnknown: r.membersUnknown()}, nil
}

// listenShown answers what became of notices; without Config.Shown it answers nothing.
func (g *Gateway) listenShown() (*bus.Hearing, error) {
	if g.cfg.Shown == nil {
		return nil, nil // a nil Hearing is one of nothing
	}
	return bus.Hear(g.nc, bus.LiveShownTopic, maxShownQuestions, g.answerShown)
}

func (g *Gateway) answerShown(msg *nats.Msg) {
	var q shownQuestion
	if len(msg.Data) > maxQuestionBytes || decode(msg.Data, &q) != nil || !q.inForm() || !bus.IsLiveAnswerTopic(msg.Reply) {
		g.counts.bad.Add(1)
		return
	}
	g.reply(msg, shownAnswer{answerHead: g.head(), Shown: g.cfg.Shown(q.Event, q.Position)})
}
