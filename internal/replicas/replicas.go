package replicas

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/internal/bus"
)

const (
	version = 1
	// maxMessageBytes is far above what an order takes.
	maxMessageBytes = 8 << 10
	maxAnswers      = 1024
	// DefaultPatience is how long Ask waits where its context has no deadline.
	DefaultPatience = 300 * time.Millisecond
)

// ErrInvalid is returned for a question that can't be asked.
var ErrInvalid = errors.New("the question isn't in form")

// Question and Answer are those of package presence.
type (
	Question = presence.Question
	Answer   = presence.Answer
)

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
	if !q.InForm() {
		return fmt.Errorf("replicas: %w", ErrInvalid)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultPatience)
		defer cancel()
	}
	data, err := presence.EncodeQuestion(q)
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
	if err := nc.PublishRequest(presence.QuestionsTopic, topic, data); err != nil {
		return fmt.Errorf("replicas: ask: %w", err)
	}
	for {
		select {
		case msg := <-answers:
			a, err := presence.DecodeAnswer(msg.Data)
			if err != nil {
				continue
			}
			a.Asked, a.Heard = asked, time.Now()
			if !fn(a) {
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
