package gateways

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/internal/bus"
)

const (
	// answerers is how many questions are answered at once.
	answerers = 4
	// maxQuestions is how many wait; of what comes beyond that, nats.go drops.
	maxQuestions = 256
)

// Transport is how a tab is connected.
type Transport string

// Transports of today. Others may come.
const (
	TransportWebSocket Transport = "websocket"
	TransportSSE       Transport = "sse"
)

// Tab is one conn of a user.
type Tab struct {
	Session string `json:"session"`
	// Device is empty where none is known.
	Device string `json:"device,omitempty"`
	// Since is when the conn was opened, by its gateway's clock.
	Since     time.Time `json:"since"`
	Transport Transport `json:"transport,omitempty"`
}

// answering is a gateway's side of questions.
type answering struct {
	g         *Gateway
	sub       *nats.Subscription
	questions chan *nats.Msg
	done      chan struct{}
	work      sync.WaitGroup
}

// listen begins to answer; the caller stops it.
func (g *Gateway) listen() (*answering, error) {
	a := &answering{g: g, questions: make(chan *nats.Msg, maxQuestions), done: make(chan struct{})}
	var err error
	// Not by a group: each gateway is to hear each question.
	if a.sub, err = g.nc.ChanSubscribe(bus.LiveTabsTopic, a.questions); err != nil {
		return nil, err
	}
	for range answerers {
		a.work.Go(a.run)
	}
	g.answering.Store(a)
	return a, nil
}

// stop waits for the answers that are being given.
func (a *answering) stop() {
	a.noteDropped()
	_ = a.sub.Unsubscribe() // fails only where there is nothing to end
	close(a.done)
	a.work.Wait()
}

func (a *answering) run() {
	for {
		select {
		case <-a.done:
			return
		case msg := <-a.questions:
			a.answer(msg)
		}
	}
}

// noteDropped counts what nats.go has dropped so far. After stop nothing is added.
func (a *answering) noteDropped() {
	if n, err := a.sub.Dropped(); err == nil {
		a.g.counts.questionsDropped.Store(uint64(n))
	}
}

// answer tells the tabs of a user, as many as fit. It gives up silently: who asks finds that this gateway's answer is missing.
func (a *answering) answer(msg *nats.Msg) {
	g := a.g
	q, err := decodeQuestion(msg.Data)
	// We may publish anywhere, which who asks may not: to answer wherever it says would lend it our rights (CWE-441).
	if err != nil || !bus.IsLiveAnswerTopic(msg.Reply) {
		g.counts.bad.Add(1)
		return
	}
	data, err := g.encodeAnswer(g.cfg.Tabs(q.Tenant, q.User), limitOf(g.nc))
	if err != nil {
		g.counts.bad.Add(1)
		return
	}
	if g.nc.Publish(msg.Reply, data) == nil {
		g.counts.answered.Add(1)
	}
}

// head begins an answer of this gateway.
func (g *Gateway) head() answerHead { return answerHead{V: version, Gateway: g.id, Name: g.cfg.Name} }

// reply answers a question, whose reply the caller has found to be where answers go.
func (g *Gateway) reply(msg *nats.Msg, answer any) {
	data, err := encode(answer)
	if err != nil {
		g.counts.bad.Add(1)
		return
	}
	_ = g.nc.Publish(msg.Reply, data) // who asks finds that this answer is missing
}

func (g *Gateway) encodeAnswer(tabs []Tab, limit int) ([]byte, error) {
	l, err := newListing(g.head(), "tabs", limit)
	if err != nil {
		return nil, err
	}
	for _, t := range tabs {
		// One that isn't in form would cost the reader all the others.
		b, err := encode(t)
		if err != nil || !t.inForm() || !l.add(b) {
			return l.end(true), nil
		}
	}
	return l.end(false), nil
}
