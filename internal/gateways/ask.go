package gateways

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

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

// Complete reports whether Gateways holds every tab of every member.
func (a Answer) Complete() bool {
	return !a.MembersUnknown && len(a.Missing) == 0 && !slices.ContainsFunc(a.Gateways, func(g GatewayTabs) bool { return g.More })
}

// Tabs asks all gateways for the tabs of a user, and returns when every member has answered, when ctx has reached its deadline, or at once where nobody
// listens. What it has by then is the answer: not hearing from somebody is no error. Without a deadline it waits for DefaultPatience. It returns ErrInvalid,
// ErrClosed, what NATS says when the question can't be sent, and the error of a ctx that was cancelled.
func (f *Fleet) Tabs(ctx context.Context, tenant, user string) (Answer, error) {
	q := question{V: version, Tenant: tenant, User: user}
	if fault := q.fault(); fault != "" {
		return Answer{}, fmt.Errorf("gateways: %w: %s", ErrInvalid, fault)
	}
	if f.closed() {
		return Answer{}, fmt.Errorf("gateways: ask for tabs: %w", ErrClosed)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultPatience)
		defer cancel()
	}
	data, err := encode(q)
	if err != nil {
		return Answer{}, fmt.Errorf("gateways: %w", err)
	}
	r := &round{fleet: f, messages: make(chan *nats.Msg, maxAnswers), settled: f.settled(), heard: map[string]GatewayTabs{}}
	topic := bus.LiveAnswerTopic(rand.Text())
	sub, err := f.nc.ChanSubscribe(topic, r.messages)
	if err != nil {
		return Answer{}, fmt.Errorf("gateways: ask for tabs: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only where there is nothing to end
	if err := f.nc.PublishRequest(bus.LiveTabsTopic, topic, data); err != nil {
		return Answer{}, fmt.Errorf("gateways: ask for tabs: %w", err)
	}
	// The answers come in while the register is read. Who joins between the two isn't expected, but counts if it answers.
	r.members, r.unread = f.members(ctx)
	if err := r.gather(ctx); err != nil {
		return Answer{}, fmt.Errorf("gateways: ask for tabs: %w", err)
	}
	return r.answer(), nil
}

// round is one question and what was heard.
type round struct {
	fleet    *Fleet
	messages chan *nats.Msg
	members  []Member
	// unread is why the members aren't known.
	unread error
	// settled is whether the register could be relied on when the question was sent.
	settled bool
	// heard maps a gateway's id → its first answer.
	heard map[string]GatewayTabs
	// nobody is whether the server has said that nobody listens.
	nobody bool
}

// gather returns when there is nothing more to wait for.
func (r *round) gather(ctx context.Context) error {
	for !r.over() {
		select {
		case msg := <-r.messages:
			r.hear(msg)
		case <-r.fleet.done:
			return ErrClosed
		case <-ctx.Done():
			if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			r.drain()
			return nil
		}
	}
	return nil
}

// drain takes what has come before the deadline, as while the register was being read.
func (r *round) drain() {
	for {
		select {
		case msg := <-r.messages:
			r.hear(msg)
		default:
			return
		}
	}
}

// over reports whether all have answered. Where no member is known, but somebody listens, one answer is waited for.
func (r *round) over() bool {
	if r.nobody {
		return true
	}
	if r.unread != nil || len(r.heard) == 0 {
		return false
	}
	return !slices.ContainsFunc(r.members, r.missing)
}

func (r *round) missing(m Member) bool { return r.heard[m.ID].ID == "" }

// hear takes an answer, or that nobody listens. Of two by one gateway the first counts.
func (r *round) hear(msg *nats.Msg) {
	if len(msg.Data) == 0 && msg.Header.Get("Status") == noResponders {
		r.nobody = true
		return
	}
	a, err := decodeAnswer(msg.Data)
	if err != nil {
		r.fleet.bad.Add(1)
		return
	}
	if _, ok := r.heard[a.Gateway]; ok {
		return
	}
	tabs := a.Tabs
	if tabs == nil {
		tabs = []Tab{}
	}
	r.heard[a.Gateway] = GatewayTabs{ID: a.Gateway, Name: a.Name, Tabs: tabs, More: a.More}
}

func (r *round) answer() Answer {
	// Somebody listens, and we can't say who.
	unheard := len(r.heard) == 0 && len(r.members) == 0 && !r.nobody
	a := Answer{Gateways: []GatewayTabs{}, MembersUnknown: r.unread != nil || unheard || !r.settled || !r.fleet.settled()}
	for _, g := range r.heard {
		a.Gateways = append(a.Gateways, g)
	}
	slices.SortFunc(a.Gateways, func(x, y GatewayTabs) int {
		return compareMembers(Member{Name: x.Name, ID: x.ID}, Member{Name: y.Name, ID: y.ID})
	})
	for _, m := range r.members {
		if r.missing(m) {
			a.Missing = append(a.Missing, m)
		}
	}
	return a
}
