package gateways

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
)

const (
	// maxCrowdQuestions is how many questions of how many an event would end wait at a gateway, each of up to a maxMessageBytes; of what comes beyond that, nats.go drops.
	maxCrowdQuestions = 16
	// maxLoginWindowMS is far above what any gateway spreads its tabs over.
	maxLoginWindowMS = 24 * 60 * 60 * 1000
)

// Crowd is how many tabs an event would end at one gateway, if it came now. It names neither sessions nor users.
type Crowd struct {
	Tabs int `json:"tabs"`
	// Users is how many people those tabs are of: each signs in once.
	Users int `json:"users"`
	// LoginWindowMS is over how long the gateway spreads their way to the sign-in page, in milliseconds; 0 where they go at once.
	LoginWindowMS int64 `json:"login_window_ms"`
}

func (c Crowd) inForm() bool {
	return c.Users >= 0 && c.Tabs >= c.Users && c.LoginWindowMS >= 0 && c.LoginWindowMS <= maxLoginWindowMS
}

// GatewayCrowd is what one gateway says.
type GatewayCrowd struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Crowd
}

func (g GatewayCrowd) member() Member { return Member{ID: g.ID, Name: g.Name} }

// CrowdAnswer is what the gateways have said of an event.
type CrowdAnswer struct {
	// Gateways are those that have answered, by name and id.
	Gateways []GatewayCrowd
	// Missing and MembersUnknown are as in [Answer].
	Missing        []Member
	MembersUnknown bool
}

// Complete reports whether Gateways are all there are.
func (a CrowdAnswer) Complete() bool { return !a.MembersUnknown && len(a.Missing) == 0 }

type crowdQuestion struct {
	V int `json:"v"`
	// Event is one that nobody has stored, in the form of the ledger.
	Event json.RawMessage `json:"event"`
}

type crowdAnswer struct {
	answerHead
	Crowd
}

func (q *crowdQuestion) version() int { return q.V }

// Crowd asks all gateways how many tabs an event would end, as Tabs does. An event that isn't valid is ErrInvalid.
func (f *Fleet) Crowd(ctx context.Context, e events.Event) (CrowdAnswer, error) {
	data, err := events.Encode(e)
	if err != nil {
		return CrowdAnswer{}, fmt.Errorf("gateways: %w: %w", ErrInvalid, err)
	}
	r, err := ask(ctx, f, bus.LiveCrowdTopic, crowdQuestion{V: version, Event: data}, func(data []byte) (string, GatewayCrowd, error) {
		var a crowdAnswer
		if err := decode(data, &a); err != nil {
			return "", GatewayCrowd{}, err
		}
		if a.unknown() || !a.inForm() {
			return "", GatewayCrowd{}, errForm
		}
		return a.Gateway, GatewayCrowd{ID: a.Gateway, Name: a.Name, Crowd: a.Crowd}, nil
	})
	if err != nil {
		return CrowdAnswer{}, fmt.Errorf("gateways: ask how many an event would end: %w", err)
	}
	return CrowdAnswer{Gateways: r.answers(), Missing: r.missingMembers(), MembersUnknown: r.membersUnknown()}, nil
}

// listenCrowd answers how many an event would end; without Config.Crowd it answers nothing.
func (g *Gateway) listenCrowd() (*bus.Hearing, error) {
	if g.cfg.Crowd == nil {
		return nil, nil // a nil Hearing is one of nothing
	}
	return bus.Hear(g.nc, bus.LiveCrowdTopic, maxCrowdQuestions, g.answerCrowd)
}

func (g *Gateway) answerCrowd(msg *nats.Msg) {
	var q crowdQuestion
	if len(msg.Data) > maxMessageBytes || decode(msg.Data, &q) != nil || !bus.IsLiveAnswerTopic(msg.Reply) {
		g.counts.bad.Add(1)
		return
	}
	e, err := events.Decode(q.Event)
	if err != nil {
		g.counts.bad.Add(1)
		return
	}
	g.reply(msg, crowdAnswer{answerHead: g.head(), Crowd: g.cfg.Crowd(e)})
}
