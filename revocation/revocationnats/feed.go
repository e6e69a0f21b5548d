package revocationnats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
)

// Errors that a replica's FeedLost hook and Open report. All are mended by following again.
var (
	// ErrNoStream is returned when the stream doesn't exist.
	ErrNoStream = errors.New("the stream doesn't exist: start curfew serve against this NATS, which creates it")
	// ErrDisconnected is returned while there is no connection to NATS, which is tried again and again.
	ErrDisconnected = errors.New("not connected to NATS: check that it runs and can be reached")
	// ErrQuiet is returned when no message came for too long: not even a beat.
	ErrQuiet = errors.New("no beat from the stream")
	// ErrGap is returned when the server skipped a message, as it does after a broken connection.
	ErrGap = errors.New("gap in the delivery")
	// ErrReplaced is returned when the stream was deleted and made again, or put back to an earlier state.
	ErrReplaced = errors.New("the stream was replaced")
	// ErrRetentionChanged is returned when how long the stream keeps events was changed: whether that is long enough is for Begin to say.
	ErrRetentionChanged = errors.New("the stream's retention was changed")
)

// Config of a feed. The zero value is ready to use.
type Config struct {
	// Stream is the ledger's name. Empty means CURFEW.
	Stream string
	// BeatTimeout is how long the stream may be silent before the feed gives its consumer up and begins anew. Zero means 3 s, three
	// times the default beat.
	BeatTimeout time.Duration
	// ClockInterval is how often the stream's leader is asked for its time, identity and retention. Zero means 5 s.
	ClockInterval time.Duration
}

// Feed follows one stream. It is used by one replica at a time.
type Feed struct {
	js  jetstream.JetStream
	cfg Config

	mu sync.Mutex
	// mark outlives Follow.
	mark mark
	// epoch counts how often the stream was found to be put back.
	epoch uint64
}

var _ revocation.Feed = (*Feed)(nil)

// NewFeed returns a feed that reads through js, which stays the caller's.
func NewFeed(js jetstream.JetStream, cfg Config) *Feed {
	if cfg.Stream == "" {
		cfg.Stream = "CURFEW"
	}
	if cfg.BeatTimeout <= 0 {
		cfg.BeatTimeout = 3 * time.Second
	}
	if cfg.ClockInterval <= 0 {
		cfg.ClockInterval = 5 * time.Second
	}
	return &Feed{js: js, cfg: cfg}
}

// Options returns connection options that suit a replica: it never gives up reconnecting, fails at once while there is no connection
// instead of buffering, and notices a dead link within about 3 s, which is before a cluster has another leader. name is what NATS shows for
// the connection.
func Options(name string) []nats.Option {
	return []nats.Option{
		nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2),
		nats.ReconnectJitter(200*time.Millisecond, 500*time.Millisecond), nats.ReconnectWait(250 * time.Millisecond),
	}
}

// reading is what the stream's leader said of itself.
type reading struct {
	head  revocation.Head
	clock clock
	// upTo is up to where the stream is known to be the one that was read: at most from there may be gone on.
	upTo uint64
}

// read asks the stream's leader, whoever that is by then.
func (f *Feed) read(following context.Context) (reading, error) {
	r, err := insist(following, func(ctx context.Context) (reading, error) { return f.readOnce(ctx, following) })
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		// What a connection says that buffers nothing while it is away.
		err = ErrDisconnected
	}
	if err != nil {
		return r, fmt.Errorf("stream %s: %w", f.cfg.Stream, err)
	}
	return r, nil
}

func (f *Feed) readOnce(ctx, following context.Context) (reading, error) {
	asked := time.Now()
	// js.Stream asks the leader each time, so the answer is never an old one.
	stream, err := f.js.Stream(ctx, f.cfg.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return reading{}, ErrNoStream
	}
	if err != nil {
		return reading{}, err
	}
	info := stream.CachedInfo()
	if err := keepsAll(info.Config); err != nil {
		return reading{}, err
	}
	h := holding{first: info.State.FirstSeq, now: info.TimeStamp, retention: info.Config.MaxAge}
	made := fmt.Sprintf("%s@%d", info.Config.Name, info.Created.UnixNano())
	id, upTo, err := f.identify(ctx, made, h)
	if err != nil {
		return reading{}, err
	}
	return reading{
		upTo:  upTo,
		clock: clock{ours: asked, streams: info.TimeStamp},
		head: revocation.Head{
			Stream: id, Made: made, First: info.State.FirstSeq, Last: info.State.LastSeq,
			Retention: info.Config.MaxAge, WholeSince: wholeSince(info.Config, info.TimeStamp), HashKey: hashKey(info.Config.Metadata),
			Holds: func(p revocation.Place) (bool, error) { return f.holds(following, id, p) },
		},
	}, nil
}

// Follow implements [revocation.Feed].
func (f *Feed) Follow(ctx context.Context, sink revocation.Sink) error {
	first, err := f.read(ctx)
	if err != nil {
		return err
	}
	after, err := sink.Begin(first.head)
	if err != nil {
		return err
	}
	// What lies between is delivered again, which is harmless.
	after = min(after, first.upTo)
	f.following(first.head.Stream, after)
	d := newDelivery(f, sink, after, first)
	cons, err := f.bridge(ctx, d)
	if err != nil {
		return fmt.Errorf("follow stream %s: %w", f.cfg.Stream, err)
	}
	defer f.deleteConsumer(cons.CachedInfo().Name)

	// The consumer must belong to the incarnation that Begin was told of:
	//  1. we read the identity; 2. the stream is replaced or put back; 3. we create the consumer, on the new stream, after the old position.
	second, err := f.read(ctx)
	if err != nil {
		return err
	}
	if second.head.Stream != first.head.Stream || second.upTo < d.position {
		return ErrReplaced
	}
	d.setClock(second.clock)
	d.drained(cons.CachedInfo().NumPending)
	return f.deliver(ctx, cons, d)
}

// deliver runs until the delivery breaks or ctx ends.
func (f *Feed) deliver(ctx context.Context, cons jetstream.Consumer, d *delivery) error {
	ctx, stop := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { f.watch(ctx, d, stop) })
	defer watch.Wait()
	defer stop(nil)
	all := make(chan received, readAhead)
	receiving, err := f.receive(ctx, cons, all)
	if err != nil {
		return fmt.Errorf("follow stream %s: %w", f.cfg.Stream, err)
	}
	defer receiving.Stop()
	quiet := time.NewTimer(f.cfg.BeatTimeout)
	defer quiet.Stop()
	for {
		m := f.nextOf(ctx, all, quiet)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if m.broken != nil {
			return m.broken
		}
		if err := d.take(m); err != nil {
			return err
		}
	}
}

// watch asks the leader for the time and for the stream's identity, now and then and when a beat makes the time doubtful, and what an early end of the
// delivery means. Failing
// to hear is no news: beats tell.
func (f *Feed) watch(ctx context.Context, d *delivery, stop context.CancelCauseFunc) {
	tick := time.NewTicker(f.cfg.ClockInterval)
	defer tick.Stop()
	ask := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.tail:
			ask = d.reach(ctx, f) != nil
			continue
		case <-d.doubt:
		case <-tick.C:
		}
		if ask {
			ask = d.reach(ctx, f) != nil
		}
		now, err := f.read(ctx)
		switch {
		case final(err):
			stop(err)
			return
		case err != nil:
		case now.head.Stream != d.head.Stream || now.head.Last < d.head.Last:
			stop(ErrReplaced)
			return
		case now.head.Retention != d.head.Retention:
			stop(ErrRetentionChanged)
			return
		default:
			d.setClock(now.clock)
		}
	}
}
