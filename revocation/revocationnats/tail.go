package revocationnats

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// noMessageFound is JetStream's error code for a message that isn't there.
const noMessageFound = 10037

// gone reports whether the stream holds no message after position and up to last. The stream's leader is asked, by the request that
// only a leader answers.
//
// The consumer's own "nothing pending" doesn't tell. In a cluster it lives beside one copy of the stream, which may lag behind the
// leader's:
//
//  1. the leader answers that the stream's last message is 10; 2. the consumer's copy ends at 7, so nothing is pending after 7;
//  3. the replica believes that it has everything up to 10; 4. the link breaks, and it follows again after 10, never to read 8 to 10.
func (f *Feed) gone(ctx context.Context, position, last uint64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := json.Marshal(map[string]any{"seq": position + 1, "next_by_subj": ">"})
	if err != nil {
		return false, err
	}
	reply, err := f.js.Conn().RequestWithContext(ctx, f.apiPrefix()+"STREAM.MSG.GET."+f.cfg.Stream, request)
	if err != nil {
		return false, fmt.Errorf("next message of stream %s: %w", f.cfg.Stream, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Sequence uint64 `json:"seq"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return false, fmt.Errorf("next message of stream %s: %w", f.cfg.Stream, err)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == noMessageFound:
		return true, nil
	case answer.Error != nil:
		return false, fmt.Errorf("next message of stream %s: %w", f.cfg.Stream, answer.Error)
	case answer.Message == nil:
		return false, fmt.Errorf("next message of stream %s: the answer is empty", f.cfg.Stream)
	}
	return answer.Message.Sequence > last, nil
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
