package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// closeFlushTimeout bounds how long Close waits for acknowledgements that are still in the connection's buffer.
	closeFlushTimeout = 2 * time.Second
	// asyncAckTimeout clears futures of asynchronous publishes whose callers have long given up.
	asyncAckTimeout = time.Minute
)

// Bus is one connection to NATS JetStream and, without a URL, the server behind it. It is safe for concurrent use.
type Bus struct {
	cfg        Config
	embedded   *embedded // nil for an external server
	nc         *nats.Conn
	js         jetstream.JetStream
	connClosed chan struct{} // closed once nc is closed for good
	closing    atomic.Bool
	stats      counters
	parker     *Parker
	// together is the constant, but in tests.
	together time.Duration

	mu          sync.Mutex
	ledger      jetstream.Stream         // guarded by mu; nil until first used
	subscribers map[*Subscriber]struct{} // guarded by mu; nil once closed
	closeOnce   sync.Once
	closeErr    error
}

// Open connects, or starts the embedded server and connects to it. ctx bounds opening only. It makes no streams: call
// [Bus.EnsureStreams]. An [*Error] says what to do. The caller closes the Bus.
func Open(ctx context.Context, cfg Config) (*Bus, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &Error{Op: "open bus", Err: err, Hint: "correct the configuration"}
	}
	b := &Bus{cfg: cfg.withDefaults(), together: together, connClosed: make(chan struct{}), subscribers: map[*Subscriber]struct{}{}}
	b.parker = &Parker{bus: b}
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Bus) open(ctx context.Context) (err error) {
	if b.cfg.URL == "" {
		if b.embedded, err = startEmbedded(ctx, b.cfg); err != nil {
			return err
		}
		b.nc, err = b.connect(ctx, b.embedded.srv)
	} else {
		b.nc, err = b.connect(ctx, nil)
	}
	if err != nil {
		return err
	}
	if b.js, err = jetstream.New(b.nc, jetstream.WithPublishAsyncTimeout(asyncAckTimeout)); err != nil {
		return err
	}
	return b.checkJetStream(ctx)
}

func (b *Bus) checkJetStream(ctx context.Context) error {
	err := b.onceFormed(ctx, func(ctx context.Context) error {
		_, err := b.js.AccountInfo(ctx)
		return err
	})
	if err != nil {
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			err = ErrNoJetStream
		}
		return &Error{Op: "ask for JetStream", Err: err, Hint: "start nats-server with -js, and give the account JetStream and its user the right to publish on $JS.API.>"}
	}
	return nil
}

// Conn is the connection of the Bus. It is borrowed: don't close or drain it.
func (b *Bus) Conn() *nats.Conn { return b.nc }

// JetStream is the client over Conn.
func (b *Bus) JetStream() jetstream.JetStream { return b.js }

// ClientURL is where other processes reach an embedded server that has a ListenAddr; otherwise it is empty. It holds no
// credentials.
func (b *Bus) ClientURL() string {
	if b.embedded == nil || b.cfg.Embedded.ListenAddr == "" {
		return ""
	}
	return b.embedded.srv.ClientURL()
}

// EventAt returns the message at a position of the ledger, or ErrNotFound.
func (b *Bus) EventAt(ctx context.Context, position uint64) (*jetstream.RawStreamMsg, error) {
	stream, err := b.ledgerStream(ctx)
	if err != nil {
		return nil, fmt.Errorf("event at %d: %w", position, err)
	}
	msg, err := stream.GetMsg(ctx, position)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("event at %d: %w", position, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("event at %d: %w", position, err)
	}
	return msg, nil
}

// ledgerStream keeps the handle, because looking it up is a request of its own.
func (b *Bus) ledgerStream(ctx context.Context) (jetstream.Stream, error) {
	b.mu.Lock()
	stream := b.ledger
	b.mu.Unlock()
	if stream != nil {
		return stream, nil
	}
	stream, err := b.js.Stream(ctx, LedgerStream)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ledger = stream
	return stream, nil
}

// Close closes the subscribers of the Bus that are still open, then the connection, then the embedded server. It is
// idempotent, safe to race, and bounded: each subscriber has its own grace, then come 2 s and 20 s.
func (b *Bus) Close() error {
	b.closeOnce.Do(func() { b.closeErr = b.close() })
	return b.closeErr
}

func (b *Bus) close() error {
	b.closing.Store(true)
	b.mu.Lock()
	open := b.subscribers
	b.subscribers = nil
	b.mu.Unlock()
	var closers sync.WaitGroup
	for s := range open {
		closers.Go(func() { _ = s.Close() }) // never fails
	}
	closers.Wait()
	if b.nc != nil {
		// What can't be flushed is redelivered; nothing is lost by not waiting longer.
		_ = b.nc.FlushTimeout(closeFlushTimeout)
		b.nc.Close()
		<-b.connClosed
	}
	if b.embedded != nil {
		return b.embedded.close()
	}
	return nil
}
