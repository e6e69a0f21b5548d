package revocationnats

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/revocation"
)

// answerAll answers questions until ctx ends.
func (p *Presence) answerAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case msg := <-p.questions:
			p.reply(msg)
		}
	}
}

// reply answers one question. What isn't in form gets none, and neither does who wants the answer elsewhere than where answers go.
func (p *Presence) reply(msg *nats.Msg) {
	q, err := presence.DecodeQuestion(msg.Data)
	if err != nil || !presence.IsAnswerTopic(msg.Reply) {
		return
	}
	if data, err := presence.EncodeAnswer(p.answer(q)); err == nil {
		_ = p.nc.Publish(msg.Reply, data) // who asks finds that this answer is missing
	}
}

func (p *Presence) answer(q presence.Question) presence.Answer {
	st := p.replica.Status()
	a := presence.Answer{
		ID: p.about.ID, Name: p.about.Name, Group: p.about.Group, Version: p.about.Version, Position: st.Position, Fresh: st.Fresh, StalenessMS: milliseconds(st.Staleness),
	}
	if q.Exposure != nil && p.passes != nil {
		passed := p.passes.Answer(q.Tenant, *q.Exposure)
		a.Exposure = &passed
	}
	if !q.NamesSession() {
		return a
	}
	d := p.replica.Check(revocation.Session{Tenant: q.Tenant, ID: q.Session, User: q.User, Device: q.Device, Client: q.Client, AuthTime: q.AuthTime})
	a.State, a.Scope, a.Reason, a.EventPosition = d.State.String(), string(d.Scope), string(d.Reason), d.EventPosition
	if d.Cause != nil {
		a.Cause = d.Cause.Error()
	}
	return a
}

// milliseconds is a proof's age; -1 where there is none: a nanosecond below zero would read as the best proof there can be.
func milliseconds(age time.Duration) float64 {
	if age < 0 {
		return -1
	}
	return float64(age.Microseconds()) / 1000
}
