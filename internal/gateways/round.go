package gateways

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/internal/bus"
)

// ask asks all gateways q on a topic, and returns when every member has answered, when ctx has reached its deadline, or at once where nobody listens. Without a deadline it waits for
// DefaultPatience. decode tells who has answered what. It returns ErrClosed, what NATS says when the question can't be sent, and the error of a ctx that was cancelled.
func ask[T ofGateway](ctx context.Context, f *Fleet, topic string, q any, decode func([]byte) (gateway string, answer T, err error)) (*round[T], error) {
	if f.closed() {
		return nil, ErrClosed
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultPatience)
		defer cancel()
	}
	data, err := encode(q)
	if err != nil {
		return nil, err
	}
	r := &round[T]{fleet: f, decode: decode, messages: make(chan *nats.Msg, maxAnswers), settled: f.settled(), heard: map[string]T{}}
	answers := bus.LiveAnswerTopic(rand.Text())
	sub, err := f.nc.ChanSubscribe(answers, r.messages)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only where there is nothing to end
	if err := f.nc.PublishRequest(topic, answers, data); err != nil {
		return nil, err
	}
	// The answers come in while the register is read. Who joins between the two isn't expected, but counts if it answers.
	r.members, r.unread = f.members(ctx)
	if err := r.gather(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// ofGateway is what one gateway says.
type ofGateway interface{ member() Member }

// round is one question and what was heard.
type round[T ofGateway] struct {
	fleet    *Fleet
	decode   func([]byte) (gateway string, answer T, err error)
	messages chan *nats.Msg
	members  []Member
	// unread is why the members aren't known.
	unread error
	// settled is whether the register could be relied on when the question was sent.
	settled bool
	// heard maps a gateway's id → its first answer.
	heard map[string]T
	// nobody is whether the server has said that nobody listens.
	nobody bool
}

// gather returns when there is nothing more to wait for.
func (r *round[T]) gather(ctx context.Context) error {
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
func (r *round[T]) drain() {
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
func (r *round[T]) over() bool {
	if r.nobody {
		return true
	}
	if r.unread != nil || len(r.heard) == 0 {
		return false
	}
	return !slices.ContainsFunc(r.members, r.missing)
}

func (r *round[T]) missing(m Member) bool { _, ok := r.heard[m.ID]; return !ok }

// hear takes an answer, or that nobody listens. Of two by one gateway the first counts.
func (r *round[T]) hear(msg *nats.Msg) {
	if len(msg.Data) == 0 && msg.Header.Get("Status") == noResponders {
		r.nobody = true
		return
	}
	id, answer, err := r.decode(msg.Data)
	if err != nil {
		r.fleet.bad.Add(1)
		return
	}
	if _, ok := r.heard[id]; !ok {
		r.heard[id] = answer
	}
}

// membersUnknown reports whether it isn't known who should have answered.
func (r *round[T]) membersUnknown() bool {
	// Somebody listens, and we can't say who.
	unheard := len(r.heard) == 0 && len(r.members) == 0 && !r.nobody
	return r.unread != nil || unheard || !r.settled || !r.fleet.settled()
}

// answers are those that were heard, by name and id.
func (r *round[T]) answers() []T {
	all := slices.AppendSeq(make([]T, 0, len(r.heard)), maps.Values(r.heard))
	slices.SortFunc(all, func(a, b T) int { return compareMembers(a.member(), b.member()) })
	return all
}

// missingMembers are those that haven't answered.
func (r *round[T]) missingMembers() (missing []Member) {
	for _, m := range r.members {
		if r.missing(m) {
			missing = append(missing, m)
		}
	}
	return missing
}
