package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// formingPatience bounds the wait for a cluster whose servers are still finding each other. All of them usually start with us, after a power failure say.
	formingPatience = 30 * time.Second
	// formingTry bounds one request meanwhile: a cluster without a leader may not answer at all.
	formingTry = 5 * time.Second
	// formingPause is between two requests.
	formingPause = 250 * time.Millisecond
)

// onceFormed calls do, and calls it again for as long as the servers answer what they only answer before their cluster has formed: that it has no leader yet, or
// fewer servers than the replicas that are asked for. An embedded server is alone, so do is called once. The error is do's last.
func (b *Bus) onceFormed(ctx context.Context, do func(context.Context) error) error {
	if b.embedded != nil {
		return do(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, formingPatience)
	defer cancel()
	for told := false; ; told = true {
		try, cancel := context.WithTimeout(ctx, formingTry)
		err := do(try)
		cancel()
		if !forming(err) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		if !told {
			what := "the NATS cluster isn't ready"
			if !forming(err) {
				what += ", or doesn't answer: " + unansweredHint
			}
			b.cfg.Log.WithError(err).Warnf("%s; waiting for it, for %v at most", what, formingPatience)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(formingPause):
		}
	}
}

// forming reports whether servers say that their cluster hasn't formed yet.
func forming(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == codeNoSuitablePeers || api.ErrorCode == codeNoLeader)
}
