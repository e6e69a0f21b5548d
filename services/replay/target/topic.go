package target

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
)

// topicForm is a topic without wildcards.
var topicForm = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

func topicFault(topic string) string {
	first, _, _ := strings.Cut(topic, ".")
	switch {
	case topic == "":
		return "is required"
	case len(topic) > 200 || !topicForm.MatchString(topic):
		return "must be at most 200 letters, digits, dashes and underscores, in parts with dots between, without wildcards or $"
	case strings.EqualFold(first, "curfew"), strings.HasPrefix(first, "_"):
		return "must not begin with curfew or with _: a copy there would count as an event, or as an answer"
	}
	return ""
}

const (
	// sentAhead is how many messages may wait for their acknowledgement.
	sentAhead = 256
	// flushTimeout is how long the NATS server may take to have everything.
	flushTimeout = 10 * time.Second
)

// topic publishes. acks are what a stream owes; without one it can only be told that the server has everything.
type topic struct {
	js     jetstream.JetStream
	replay string
	topic  string
	stored bool
	acks   []jetstream.PubAckFuture
}

func openTopic(ctx context.Context, js jetstream.JetStream, replay, name string) (Target, error) {
	_, err := js.StreamNameBySubject(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("target topic: look for its stream: %w", err)
	}
	return &topic{js: js, replay: replay, topic: name, stored: err == nil}, nil
}

func (t *topic) Send(ctx context.Context, m Message) error {
	msg := nats.NewMsg(t.topic)
	msg.Data = m.Data
	msg.Header.Set("Content-Type", events.ContentType)
	msg.Header.Set(nats.MsgIdHdr, m.ID)
	msg.Header.Set("Curfew-Replay", t.replay)
	if !t.stored {
		return t.js.Conn().PublishMsg(msg)
	}
	ack, err := t.js.PublishMsgAsync(msg)
	if err != nil {
		return fmt.Errorf("target topic: %w", err)
	}
	if t.acks = append(t.acks, ack); len(t.acks) < sentAhead {
		return nil
	}
	return t.Flush(ctx)
}

func (t *topic) Flush(ctx context.Context) error {
	if !t.stored {
		ctx, cancel := context.WithTimeout(ctx, flushTimeout)
		defer cancel()
		return t.js.Conn().FlushWithContext(ctx)
	}
	for _, ack := range t.acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			t.acks = nil // what is sent again is known by its id
			return fmt.Errorf("target topic: the stream doesn't take it: %w", err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	t.acks = t.acks[:0]
	return nil
}

func (t *topic) Finish(context.Context) error { return nil }
func (t *topic) Result() Result               { return Result{} }
func (t *topic) Close()                       {}
