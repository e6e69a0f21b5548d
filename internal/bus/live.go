package bus

import (
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events/presence"
)

// Topics of what gateways tell and are asked while it happens; those of what replicas report are package events/presence's. No stream takes them: who doesn't listen has missed it. No id stands in one, and no tenant:
// whoever may subscribe to them hears of every tenant's users.
const (
	// LiveTabsTopic is where gateways are asked for the tabs of a user.
	LiveTabsTopic = "curfew.live.tabs"
	// LivePresenceTopic is where gateways tell who has come and who has gone.
	LivePresenceTopic = "curfew.live.presence"
	// LiveAcksTopic is where gateways tell what tabs did with a notice.
	LiveAcksTopic = "curfew.live.acks"

	// LivePassedAcksTopic is where a gateway passes on what a tab has acknowledged whose stream another one holds.
	LivePassedAcksTopic = "curfew.live.passed_acks"

	// LiveShownTopic is where gateways are asked what became of the notice of an event.
	LiveShownTopic = "curfew.live.shown"

	// LiveCrowdTopic is where gateways are asked how many tabs an event would end.
	LiveCrowdTopic = "curfew.live.crowd"

	// LiveHintsTopic is where gateways are told what tabs should know that isn't in the ledger.
	LiveHintsTopic = "curfew.live.hints"

	// LiveAgainTopic is where gateways are told at which positions of the ledger the events lie of which open tabs are to be told again.
	LiveAgainTopic = "curfew.live.again"

	// LiveRebuildTopic is where replicas of a group are told to read the ledger anew.
	LiveRebuildTopic = "curfew.live.rebuild"
)

// LiveAnswerTopic is where the answers to one question go; token is of letters and digits, and can't be guessed.
func LiveAnswerTopic(token string) string { return presence.AnswerTopic(token) }

// IsLiveAnswerTopic reports whether topic is one of LiveAnswerTopic. Who answers a question must know: he has the right to publish elsewhere, as to the
// ledger, which who asks may not have.
func IsLiveAnswerTopic(topic string) bool { return presence.IsAnswerTopic(topic) }

// Hearing is what a process hears on one live topic. Make it with Hear, and close it.
type Hearing struct {
	sub  *nats.Subscription
	done chan struct{}
	once sync.Once
	work sync.WaitGroup
}

// Hear calls take with each message on a topic, by one goroutine, until Close. At most waiting of them wait for it; of what comes beyond that, nats.go drops. Each process
// that hears a topic hears every message. The connection is borrowed.
func Hear(nc *nats.Conn, topic string, waiting int, take func(*nats.Msg)) (*Hearing, error) {
	h := &Hearing{done: make(chan struct{})}
	messages := make(chan *nats.Msg, waiting)
	var err error
	if h.sub, err = nc.ChanSubscribe(topic, messages); err != nil {
		return nil, err
	}
	h.work.Go(func() {
		for {
			select {
			case <-h.done:
				return
			case msg := <-messages:
				take(msg)
			}
		}
	})
	return h, nil
}

// Close hears nothing more, and waits for take to return. What waits is lost. It may be called more than once, and of a nil Hearing, of what nobody wanted to hear.
func (h *Hearing) Close() {
	if h == nil {
		return
	}
	h.once.Do(func() {
		_ = h.sub.Unsubscribe() // fails only where there is nothing to end
		close(h.done)
	})
	h.work.Wait()
}
