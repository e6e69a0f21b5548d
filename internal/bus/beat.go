package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
)

const (
	defaultBeatInterval = time.Second
	// beatRetry is how soon after a beat that failed another is tried: as soon as there is a leader again, replicas are to know.
	beatRetry = 250 * time.Millisecond
	// beatTTL lets beats leave nothing behind; millions of expired ones would slow down recovery after a crash.
	beatTTL = "60s"
	// beatReserve is below diskReserve: a disk too full for revocations must not also make every replica stale.
	beatReserve = diskReserve / 4
)

// BeaterConfig configures [Bus.Beat].
type BeaterConfig struct {
	// Interval between this process's beats. Zero means 1 s. It is about how late a replica may notice that it is cut off.
	Interval time.Duration
	// Source names this process in the beat, for a human reader. It should not be empty.
	Source string
	// OnResult, if set, is told the outcome of each beat that was tried; nil is success. It is called from Beat's own
	// goroutine and must not block.
	OnResult func(err error)
}

// Beat writes a beat to the ledger at once and then each Interval, and blocks until ctx ends; then it returns nil. A beat
// that fails is reported to OnResult and another is due soon: within 250 ms, if Interval is longer. Its position and the server's timestamp are
// the proof that the ledger's path is alive; what it says is for humans. It doesn't matter to a replica whose beat it hears, but each process that
// publishes writes its own: its outcome tells whether this process can write.
func (b *Bus) Beat(ctx context.Context, cfg BeaterConfig) error {
	if cfg.Interval < 0 {
		return errors.New("beat: the interval is negative")
	}
	setDefault(&cfg.Interval, defaultBeatInterval)
	payload, err := json.Marshal(map[string]string{"source": cfg.Source})
	if err != nil {
		return fmt.Errorf("beat: %w", err)
	}
	ticker := time.NewTicker(cfg.Interval)
	defer ticker.Stop()
	for {
		err := b.beatOnce(ctx, payload, cfg.Interval)
		if cfg.OnResult != nil && ctx.Err() == nil {
			cfg.OnResult(err)
		}
		var soon <-chan time.Time
		if err != nil {
			soon = time.After(beatRetry)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-soon:
		}
	}
}

// beatOnce goes past [Marshal], which would refuse the TTL. A beat has no message id: it would only fill the duplicate window.
func (b *Bus) beatOnce(ctx context.Context, payload []byte, interval time.Duration) error {
	p := &Publisher{bus: b, reserve: beatReserve}
	if err := p.ready(ctx); err != nil {
		return p.outcome(events.TopicBeat, err)
	}
	ctx, cancel := context.WithTimeout(ctx, max(interval, time.Second))
	defer cancel()
	m := &nats.Msg{
		Subject: events.TopicBeat,
		Header:  nats.Header{jetstream.MsgTTLHeader: {beatTTL}},
		Data:    payload,
	}
	_, err := b.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	return p.outcome(events.TopicBeat, err)
}
