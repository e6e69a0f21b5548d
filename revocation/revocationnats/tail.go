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
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	next, err := f.message(ctx, map[string]any{"seq": position + 1, "next_by_subj": ">"})
	if err != nil {
		return false, err
	}
	return next.position == 0 || next.position > last, nil
}

// message asks the stream's leader for a message, by the request that only a leader answers. No message is position 0.
func (f *Feed) message(ctx context.Context, which map[string]any) (place, error) {
	fail := func(err error) (place, error) {
		return place{}, fmt.Errorf("ask for a message of stream %s: %w", f.cfg.Stream, err)
	}
	request, err := json.Marshal(which)
	if err != nil {
		return fail(err)
	}
	reply, err := f.js.Conn().RequestWithContext(ctx, f.apiPrefix()+"STREAM.MSG.GET."+f.cfg.Stream, request)
	if err != nil {
		return fail(err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Sequence uint64    `json:"seq"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fail(err)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == noMessageFound:
		return place{}, nil
	case answer.Error != nil:
		return fail(answer.Error)
	case answer.Message == nil || answer.Message.Sequence == 0:
		return fail(errors.New("the answer is empty"))
	}
	return place{position: answer.Message.Sequence, stored: answer.Message.Time}, nil
}

// apiPrefix is where the JetStream API listens, with its last dot.
func (f *Feed) apiPrefix() string {
	o := f.js.Options()
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
