package replay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/lease"
)

const (
	// replaysLease is the key of the lease by which one process is elected to run replays.
	replaysLease = "replays"
	// maxRunning is how many run at once: each reads the ledger at the speed of its target.
	maxRunning = 2
	// defaultLeaseTTL is short: a replay that loses its process for nothing, as when a NATS cluster elects a leader, loses half a second of its work.
	defaultLeaseTTL = 10 * time.Second
)

// Run runs replays while this process is the one that was elected for it, until ctx ends; then it writes down how far they came, for the next one, and returns nil. It returns an error when the
// records can't be followed any more: then it is to be called again.
func (s *Service) Run(ctx context.Context) error {
	cfg := lease.Config{
		Key: replaysLease, Holder: lease.ThisProcess(), TTL: s.cfg.LeaseTTL,
		Failed: func(err error) {
			s.cfg.Log.WithError(err).Warn("who runs replays can't be settled: it is tried again and again")
		},
	}
	return lease.Run(ctx, s.cfg.Conn, s.cfg.Leases, cfg, func(ctx context.Context) error {
		r := &runner{svc: s, open: map[string]uint64{}, running: map[string]*run{}, ended: make(chan ended)}
		return r.run(ctx)
	})
}

// errCancelled is the cause of the end of a replay that was cancelled.
var errCancelled = errors.New("the replay was cancelled")

// runner runs the replays that there are, the oldest first. It is used by one goroutine.
type runner struct {
	svc *Service
	// open: id of a replay that isn't over → the revision of its record. running: id → the run of it.
	open    map[string]uint64
	running map[string]*run
	ended   chan ended
	work    sync.WaitGroup
}

// run is a replay that is run. begun is the revision of its record as it was taken up, and zero before that.
type run struct {
	cancel context.CancelCauseFunc
	begun  atomic.Uint64
}

// ended is a replay that isn't run any more; over says that it was over as of a revision of its record. It may have been resumed since.
type ended struct {
	id       string
	revision uint64
	over     bool
}

// run follows the records until ctx ends or they can't be followed.
func (r *runner) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		go func() { r.work.Wait(); close(r.ended) }()
		for range r.ended { // until all have written down how far they came
		}
	}()
	w, err := r.svc.cfg.Tasks.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("follow replays: %w", err)
	}
	defer func() { _ = w.Stop() }() // the server forgets it by itself
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-r.ended:
			delete(r.running, e.id)
			if e.over && r.open[e.id] <= e.revision {
				delete(r.open, e.id)
			}
		case entry, ok := <-w.Updates():
			if !ok {
				return errors.New("follow replays: the connection was closed")
			}
			r.take(entry)
		}
		for len(r.running) < maxRunning && r.startNext(ctx) {
		}
	}
}

// take takes a record as it is now.
func (r *runner) take(entry jetstream.KeyValueEntry) {
	if entry == nil {
		return // those that were there have come
	}
	if entry.Operation() != jetstream.KeyValuePut {
		r.close(entry.Key(), entry.Revision())
		return
	}
	task, err := readTask(entry)
	switch {
	case err != nil:
		r.svc.cfg.Log.WithError(err).Error("a replay can't be run")
	case task.State.over():
		r.close(task.ID, task.revision)
	default:
		r.open[task.ID] = task.revision
	}
}

// close ends a replay that is over as of a revision of its record, if somebody else has said so. One that was resumed since goes on:
//
//  1. It is cancelled, and resumed. 2. It is taken up, of the newest record. 3. The runner hears that it was cancelled.
func (r *runner) close(id string, revision uint64) {
	delete(r.open, id) // it is told of the newer record, too
	if running := r.running[id]; running != nil && revision > running.begun.Load() {
		running.cancel(errCancelled)
	}
}

// startNext reports whether there was one to start.
func (r *runner) startNext(ctx context.Context) bool {
	next := ""
	for id := range r.open {
		if r.running[id] == nil && (next == "" || id < next) {
			next = id
		}
	}
	if next == "" {
		return false
	}
	ctx, cancel := context.WithCancelCause(ctx)
	running := &run{cancel: cancel}
	r.running[next] = running
	r.work.Go(func() {
		defer cancel(nil)
		revision, over := r.svc.runOne(ctx, next, running.begun.Store)
		if !over {
			// Its record isn't to be had just now, or this process stops.
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		r.ended <- ended{next, revision, over}
	})
	return true
}
