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
	// watchTimeout bounds how long asking for a watch takes; nats.go itself waits as long as its context lives.
	watchTimeout = 2 * time.Second
	// minRewatch and maxRewatch are between two attempts to follow a bucket anew.
	minRewatch, maxRewatch = 50 * time.Millisecond, 2 * time.Second
)

// Following is a bucket whose entries are told as they are written. It is safe for concurrent use.
type Following struct {
	kv   jetstream.KeyValue
	take func(jetstream.KeyValueEntry)
	// conn tells of reconnects. It may be nil, and is borrowed.
	conn *nats.Conn
	// stop ends following; done is closed once nothing is followed any more.
	stop context.CancelFunc
	done chan struct{}
	// current is whether everything was told that the bucket held when the connection was last made.
	current atomic.Bool
}

// Follow calls take with every entry of a bucket, returns when those have been told that were there, and goes on until Close. ctx bounds the opening only. take is
// called by one goroutine at a time, with nil each time that everything has been told which a watch has found: the bucket is watched anew after each reconnect, and
// when a watch ends by itself, and what a new watch repeats is told again. What was deleted or has expired meanwhile isn't told for longer than the bucket's markers
// last.
//
// nc is the bucket's connection, and is borrowed. If it is nil, nats.go finds out by itself whether a restarted server has lost its consumer, which takes it ten to
// twenty seconds.
func Follow(ctx context.Context, nc *nats.Conn, kv jetstream.KeyValue, take func(jetstream.KeyValueEntry)) (*Following, error) {
	f := &Following{kv: kv, take: take, conn: nc, done: make(chan struct{})}
	// A watch lives as long as its context, so it must not be the caller's, which ends with the opening.
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	f.stop = stop
	// Before the first watch, so that no reconnect falls between the two.
	var reconnected chan nats.Status
	if f.conn != nil {
		reconnected = f.conn.StatusChanged(nats.CONNECTED)
	}
	opened := context.AfterFunc(ctx, stop)
	w, err := f.watch(following)
	if err != nil {
		stop()
		f.forget(reconnected)
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("follow bucket %s: %w", kv.Bucket(), err)
	}
	loaded := make(chan struct{})
	go f.follow(following, w, reconnected, loaded)
	select {
	case <-loaded:
		if opened() {
			return f, nil
		}
	case <-f.done:
	}
	f.Close()
	if cause := context.Cause(ctx); cause != nil {
		return nil, fmt.Errorf("read bucket %s: %w", kv.Bucket(), cause)
	}
	return nil, fmt.Errorf("read bucket %s: %w", kv.Bucket(), ErrClosed)
}

// Close stops following and waits for it, some seconds at most. It may be called more than once, with and without a connection.
func (f *Following) Close() {
	f.stop()
	<-f.done
	f.current.Store(false)
}

// Current reports whether everything has been told that the bucket held when the connection was last made, and the connection is there.
func (f *Following) Current() bool {
	return f.current.Load() && (f.conn == nil || f.conn.IsConnected())
}

func (f *Following) forget(reconnected chan nats.Status) {
	if reconnected != nil {
		f.conn.RemoveStatusListener(reconnected)
	}
}

// bucketWatch is one watch of the bucket.
type bucketWatch struct {
	jetstream.KeyWatcher
	// cancel ends the watch's context, which a goroutine of nats.go waits for.
	cancel context.CancelFunc
}

func (f *Following) watch(ctx context.Context) (*bucketWatch, error) {
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(watchTimeout, cancel)
	w, err := f.kv.WatchAll(ctx)
	if err != nil {
		late.Stop()
		cancel()
		return nil, err
	}
	if !late.Stop() {
		(&bucketWatch{w, cancel}).end()
		return nil, context.DeadlineExceeded
	}
	return &bucketWatch{w, cancel}, nil
}

// end ends a watch and waits for it. It never fails: what can't be said to the server, because it is away or knows nothing of the watch since
// its restart, ends there by itself.
func (w *bucketWatch) end() {
	_ = w.Stop()
	w.cancel()
	for range w.Updates() { // its sender waits for us
	}
}

// follow tells what is written to the bucket, and closes loaded once all that it held has been told.
func (f *Following) follow(ctx context.Context, w *bucketWatch, reconnected chan nats.Status, loaded chan<- struct{}) {
	defer close(f.done)
	defer f.forget(reconnected)
	var ending sync.WaitGroup
	defer ending.Wait()
	defer func() { w.end() }()
	updates, wait := w.Updates(), minRewatch
	again := time.NewTimer(0)
	again.Stop()
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case entry, open := <-updates:
			if !open {
				f.current.Store(false)
				updates = nil
				again.Reset(0)
				continue
			}
			f.take(entry)
			if entry == nil {
				f.current.Store(true)
				if loaded != nil {
					close(loaded)
					loaded = nil
				}
			}
			continue
		case _, open := <-reconnected:
			if !open {
				reconnected = nil // the connection was closed for good
				continue
			}
			f.current.Store(false)
		case <-again.C:
		}
		next, err := f.watch(ctx)
		switch {
		case errors.Is(err, nats.ErrConnectionClosed):
			return
		case err != nil:
			again.Reset(wait)
			wait = min(2*wait, maxRewatch)
		default:
			ending.Go(w.end)
			w, updates, wait = next, next.Updates(), minRewatch
			again.Stop()
		}
	}
}
