package replicas

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/exposure"
	"github.com/curfewhq/curfew/internal/bus"
)

const (
	version = 1
	// maxMessageBytes is far above what a question or an answer takes; those about exposure may hold a hundred ids, or two hundred passes.
	maxMessageBytes = 256 << 10
	// maxQuestions is how many questions wait; of what comes beyond that, nats.go drops.
	maxQuestions = 64
	maxAnswers   = 1024
	// DefaultPatience is how long Ask waits where its context has no deadline.
	DefaultPatience = 300 * time.Millisecond
)

// ErrInvalid is returned for a question that can't be asked.
var ErrInvalid = errors.New("the question isn't in form")

// Question asks how far replicas are, and, if it names anything, what they know of a session.
type Question struct {
	Tenant  string `json:"tenant"`
	Session string `json:"session,omitempty"`
	User    string `json:"user,omitempty"`
	Device  string `json:"device,omitempty"`
	Client  string `json:"client,omitempty"`
	// AuthTime is zero if it isn't known.
	AuthTime time.Time `json:"auth_time,omitzero"`
	// Exposure asks what passed; nil asks nothing of it.
	Exposure *exposure.Question `json:"exposure,omitempty"`
}

// NamesSession reports whether the question is about a session.
func (q Question) NamesSession() bool { return q.Session != "" || q.User != "" }

func (q Question) inForm() bool {
	for _, id := range []string{q.Session, q.User, q.Device, q.Client} {
		if id != "" && events.IDFault(id) != "" {
			return false
		}
	}
	return events.TenantFault(q.Tenant) == "" && (q.Exposure == nil || q.Exposure.InForm())
}

// Answer is what one replica says.
type Answer struct {
	// Name is the process's, for people.
	Name string `json:"name"`
	// Position is how far it has applied the ledger.
	Position uint64 `json:"position"`
	// Fresh is whether its proof of that is young enough; StalenessMS is how old it is, and negative if there is none.
	Fresh       bool    `json:"fresh"`
	StalenessMS float64 `json:"staleness_ms"`
	// State is active, revoked or undetermined; empty where no session was asked about. Scope, Reason and EventPosition tell what ends a revoked one, and Cause why it can't tell.
	State         string `json:"state,omitempty"`
	Scope         string `json:"scope,omitempty"`
	Reason        string `json:"reason,omitempty"`
	EventPosition uint64 `json:"event_position,omitempty"`
	Cause         string `json:"cause,omitempty"`
	// Exposure is what passed; nil where that wasn't asked, and of a process that doesn't remember it.
	Exposure *exposure.Answer `json:"exposure,omitempty"`

	// Asked and Heard are when Ask sent the question and heard this answer, by the clock of who asks: it was given in between.
	Asked time.Time `json:"-"`
	Heard time.Time `json:"-"`
}

type questionMessage struct {
	V int `json:"v"`
	Question
}

type answerMessage struct {
	V int `json:"v"`
	Answer
}

// Listen begins to answer questions with what answer returns, whose name is filled in; it is called by one goroutine at a time. Close what it returns.
func Listen(nc *nats.Conn, name string, answer func(Question) Answer) (*bus.Hearing, error) {
	h, err := bus.Hear(nc, bus.LiveReplicasTopic, maxQuestions, func(msg *nats.Msg) {
		reply(nc, msg, func(q Question) Answer {
			a := answer(q)
			a.Name = name
			return a
		})
	})
	if err != nil {
		return nil, fmt.Errorf("replicas: listen for questions: %w", err)
	}
	return h, nil
}

// reply answers one question. What isn't in form gets none, and neither does who wants the answer elsewhere than where answers go: we may publish where who asks may not (CWE-441).
func reply(nc *nats.Conn, msg *nats.Msg, answer func(Question) Answer) {
	var q questionMessage
	if len(msg.Data) > maxMessageBytes || json.Unmarshal(msg.Data, &q) != nil || q.V != version || !q.inForm() || !bus.IsLiveAnswerTopic(msg.Reply) {
		return
	}
	data, err := json.Marshal(answerMessage{V: version, Answer: answer(q.Question)})
	if err != nil {
		return
	}
	_ = nc.Publish(msg.Reply, data) // who asks finds that this answer is missing
}

// Ask asks all replicas that listen, and returns what was heard by ctx's deadline, or within DefaultPatience if it has none, by name. It returns ErrInvalid, what NATS says
// when the question can't be sent, and the error of a ctx that was cancelled.
func Ask(ctx context.Context, nc *nats.Conn, q Question) ([]Answer, error) {
	heard := []Answer{}
	if err := AskEach(ctx, nc, q, func(a Answer) bool { heard = append(heard, a); return true }); err != nil {
		return nil, err
	}
	slices.SortFunc(heard, func(a, b Answer) int { return strings.Compare(a.Name, b.Name) })
	return heard, nil
}

// AskEach is Ask for who doesn't want to wait for all: it calls fn with each answer as it comes, and returns when fn says that it has heard enough.
func AskEach(ctx context.Context, nc *nats.Conn, q Question, fn func(Answer) (more bool)) error {
	if !q.inForm() {
		return fmt.Errorf("replicas: %w", ErrInvalid)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultPatience)
		defer cancel()
	}
	data, err := json.Marshal(questionMessage{V: version, Question: q})
	if err != nil {
		return fmt.Errorf("replicas: %w", err)
	}
	answers := make(chan *nats.Msg, maxAnswers)
	topic := bus.LiveAnswerTopic(rand.Text())
	sub, err := nc.ChanSubscribe(topic, answers)
	if err != nil {
		return fmt.Errorf("replicas: ask: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only where there is nothing to end
	asked := time.Now()
	if err := nc.PublishRequest(bus.LiveReplicasTopic, topic, data); err != nil {
		return fmt.Errorf("replicas: ask: %w", err)
	}
	for {
		select {
		case msg := <-answers:
			var a answerMessage
			if len(msg.Data) > maxMessageBytes || json.Unmarshal(msg.Data, &a) != nil || a.V != version {
				continue
			}
			a.Asked, a.Heard = asked, time.Now()
			if !fn(a.Answer) {
				return nil
			}
		case <-ctx.Done():
			if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("replicas: ask: %w", err)
			}
			return nil
		}
	}
}
