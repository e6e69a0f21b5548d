package revocationnats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// noMessageFound is JetStream's error code for a message that isn't there.
const noMessageFound = 10037

// gone reports whether the stream holds no message after position and up to last. The stream's leader is asked.
//
// The consumer's own "nothing pending" doesn't tell. In a cluster it lives beside one copy of the stream, which may lag behind the
// leader's:
//
//  1. the leader answers that the stream's last message is 10; 2. the consumer's copy ends at 7, so nothing is pending after 7;
//  3. the replica believes that it has everything up to 10; 4. the link breaks, and it follows again after 10, never to read 8 to 10.
func (f *Feed) gone(ctx context.Context, position, last uint64) (bool, error) {
	next, err := insist(ctx, func(ctx context.Context) (place, error) {
		return f.message(ctx, map[string]any{"seq": position + 1, "next_by_subj": ">"})
	})
	if err != nil {
		return false, err
	}
	return next.position == 0 || next.position > last, nil
}

// message asks the stream's leader where a message lies. No message is position 0.
func (f *Feed) message(ctx context.Context, which map[string]any) (place, error) {
	m, err := storedMessage(ctx, f.js, f.cfg.Stream, which)
	return place{position: m.Position, stored: m.Time}, err
}

// rawMessage is a message as a stream holds it.
type rawMessage struct {
	Topic    string    `json:"subject"`
	Position uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	Data     []byte    `json:"data"`
}

// storedMessage asks a stream's leader for a message, by the request that only a leader answers. No message is position 0.
func storedMessage(ctx context.Context, js jetstream.JetStream, stream string, which map[string]any) (rawMessage, error) {
	fail := func(err error) (rawMessage, error) {
		return rawMessage{}, fmt.Errorf("ask for a message of stream %s: %w", stream, err)
	}
	request, err := json.Marshal(which)
	if err != nil {
		return fail(err)
	}
	reply, err := js.Conn().RequestWithContext(ctx, apiPrefix(js)+"STREAM.MSG.GET."+stream, request)
	if err != nil {
		return fail(err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *rawMessage         `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fail(err)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == noMessageFound:
		return rawMessage{}, nil
	case answer.Error != nil:
		return fail(answer.Error)
	case answer.Message == nil || answer.Message.Position == 0:
		return fail(errors.New("the answer is empty"))
	}
	return *answer.Message, nil
}

// apiPrefix is where the JetStream API listens, with its last dot.
func apiPrefix(js jetstream.JetStream) string {
	o := js.Options()
	switch {
	case o.APIPrefix != "" && o.APIPrefix[len(o.APIPrefix)-1] == '.':
		return o.APIPrefix
	case o.APIPrefix != "":
		return o.APIPrefix + "."
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	}
	return jetstream.DefaultAPIPrefix
}
