package gateways

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
)

const (
	// DefaultPatience is how long Tabs waits where its context has no deadline.
	DefaultPatience = time.Second
	// maxAnswers is how many answers wait to be read. There is one to a gateway.
	maxAnswers = 1_024
	// noResponders is the status with which the NATS server answers where nobody listens.
	noResponders = "503"
)

// Answer is what the gateways have said of a user.
type Answer struct {
	// Gateways are those that have answered, by name and id, with tabs or without.
	Gateways []GatewayTabs `json:"gateways"`
	// Missing are the members that haven't answered in time, by name and id.
	Missing []Member `json:"missing,omitempty"`
	// MembersUnknown means that it isn't known who should have answered: the register couldn't be read, or NATS has only just come back.
	MembersUnknown bool `json:"members_unknown,omitempty"`
}

// GatewayTabs are the tabs at one gateway.
type GatewayTabs struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Tabs are at most 1,000, and as many as fit into a message.
	Tabs []Tab `json:"tabs"`
	// More means that there are others.
	More bool `json:"more,omitempty"`
}

func (g GatewayTabs) member() Member { return Member{ID: g.ID, Name: g.Name} }

// Complete reports whether Gateways holds every tab of every member.
func (a Answer) Complete() bool {
	return !a.MembersUnknown && len(a.Missing) == 0 && !slices.ContainsFunc(a.Gateways, func(g GatewayTabs) bool { return g.More })
}

// UserTabs are a user's tabs, as far as gateways have told.
type UserTabs struct {
	User string `json:"user"`
	// Complete is whether every gateway has told of every tab.
	Complete bool `json:"complete"`
	Answer
}

// TabsOf says whose tabs an answer tells of.
func TabsOf(user string, a Answer) UserTabs {
	if a.Gateways == nil {
		a.Gateways = []GatewayTabs{}
	}
	return UserTabs{User: user, Complete: a.Complete(), Answer: a}
}

// Tabs asks all gateways for the tabs of a user, and returns when every member has answered, when ctx has reached its deadline, or at once where nobody
// listens. What it has by then is the answer: not hearing from somebody is no error. Without a deadline it waits for DefaultPatience. It returns ErrInvalid,
// ErrClosed, what NATS says when the question can't be sent, and the error of a ctx that was cancelled.
func (f *Fleet) Tabs(ctx context.Context, tenant, user string) (Answer, error) {
	q := question{V: version, Tenant: tenant, User: user}
	if fault := q.fault(); fault != "" {
		return Answer{}, fmt.Errorf("gateways: %w: %s", ErrInvalid, fault)
	}
	r, err := ask(ctx, f, bus.LiveTabsTopic, q, func(data []byte) (string, GatewayTabs, error) {
		a, err := decodeAnswer(data)
		tabs := a.Tabs
		if tabs == nil {
			tabs = []Tab{}
		}
		return a.Gateway, GatewayTabs{ID: a.Gateway, Name: a.Name, Tabs: tabs, More: a.More}, err
	})
	if err != nil {
		return Answer{}, fmt.Errorf("gateways: ask for tabs: %w", err)
	}
	return Answer{Gateways: r.answers(), Missing: r.missingMembers(), MembersUnknown: r.membersUnknown()}, nil
}
