package gateways

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/internal/bus"
)

const (
	// MaxAgain is how many positions TellAgain takes.
	MaxAgain = 200
	// maxAgainBytes is far above so many positions.
	maxAgainBytes = 8 << 10
	// maxAgainWaiting is how many questions wait at a gateway. Who asks waits for the answers, so there are no more than those who ask.
	maxAgainWaiting = 16
	// AgainPatience is how long TellAgain waits where its context has no deadline.
	AgainPatience = 10 * time.Second
)

// again tells a gateway at which positions of the ledger the events lie of which tabs are to be told again. It doesn't hold the events: a gateway believes the ledger alone.
type again struct {
	V         int      `json:"v"`
	Positions []uint64 `json:"positions"`
}

// againAnswer is what a gateway has done.
type againAnswer struct {
	V       int    `json:"v"`
	Gateway string `json:"gateway"`
	Told    int    `json:"told"`
}

func (a *again) version() int       { return a.V }
func (a *againAnswer) version() int { return a.V }

// tellAgain begins to take positions; the caller closes it. It returns nil if nobody wants them.
func (g *Gateway) tellAgain() (*bus.Hearing, error) {
	if g.cfg.Again == nil {
		return nil, nil
	}
	return bus.Hear(g.nc, bus.LiveAgainTopic, maxAgainWaiting, g.heardAgain)
}

// heardAgain answers where answers go, and nowhere else: we may publish where who asks may not (CWE-441).
func (g *Gateway) heardAgain(msg *nats.Msg) {
	var a again
	if len(msg.Data) > maxAgainBytes || decode(msg.Data, &a) != nil || len(a.Positions) > MaxAgain || slices.Contains(a.Positions, 0) || !bus.IsLiveAnswerTopic(msg.Reply) {
		g.counts.bad.Add(1)
		return
	}
	g.reply(msg, againAnswer{V: version, Gateway: g.id, Told: g.cfg.Again(a.Positions)})
}

// TellAgain has every gateway read the events at some positions, at most MaxAgain, and tell the open tabs that they end and that haven't been told. It returns when
// every member has answered, or ctx has reached its deadline (AgainPatience if it has none): how many tabs were told, and who hasn't answered. It returns ErrInvalid,
// ErrClosed, why the register can't be read, and the error of a ctx that was cancelled. To be told twice does no harm.
func (f *Fleet) TellAgain(ctx context.Context, positions []uint64) (told int, missing []Member, err error) {
	if len(positions) == 0 || len(positions) > MaxAgain || slices.Contains(positions, 0) {
		return 0, nil, fmt.Errorf("gateways: %w: give 1 to %d positions", ErrInvalid, MaxAgain)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, AgainPatience)
		defer cancel()
	}
	data, err := json.Marshal(again{V: version, Positions: positions})
	if err != nil {
		return 0, nil, fmt.Errorf("gateways: %w", err)
	}
	missing, err = f.Members(ctx)
	if err != nil {
		return 0, nil, err
	}
	answers := make(chan *nats.Msg, maxAnswers)
	topic := bus.LiveAnswerTopic(rand.Text())
	sub, err := f.nc.ChanSubscribe(topic, answers)
	if err != nil {
		return 0, nil, fmt.Errorf("gateways: tell again: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only where there is nothing to end
	if err := f.nc.PublishRequest(bus.LiveAgainTopic, topic, data); err != nil {
		return 0, nil, fmt.Errorf("gateways: tell again: %w", err)
	}
	for len(missing) > 0 {
		select {
		case msg := <-answers:
			if len(msg.Data) == 0 && msg.Header.Get("Status") == noResponders {
				return told, missing, nil
			}
			var a againAnswer
			if decode(msg.Data, &a) != nil || a.Told < 0 {
				f.bad.Add(1)
				continue
			}
			if before := len(missing); before > len(slices.DeleteFunc(missing, func(m Member) bool { return m.ID == a.Gateway })) {
				missing = missing[:before-1]
				told += a.Told
			}
		case <-f.done:
			return told, missing, ErrClosed
		case <-ctx.Done():
			if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
				return told, missing, err
			}
			return told, missing, nil
		}
	}
	return told, nil, nil
}
