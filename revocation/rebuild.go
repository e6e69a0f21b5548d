package revocation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/curfewhq/curfew/events"
)

// ErrRebuilding is returned by Rebuild while another one is under way.
var ErrRebuilding = errors.New("the replica is being rebuilt already")

// errOtherStream is returned by Rebuild when the stream was made anew, or put back, meanwhile.
var errOtherStream = errors.New("the stream was made anew or put back meanwhile: rebuild again")

// Rebuilt is what came of a rebuild.
type Rebuilt struct {
	// Position is up to where the stream had been applied when what the replica held was replaced.
	Position uint64
	// Same is whether that held the same as what was read. Where it isn't, the replica lacked something, and has it now; or it holds what the stream has lost, and goes on
	// to. Then its Digest stays another than that of a replica which has only read the stream, until what it holds beyond has expired. Neither need be wrong: a session that is
	// revoked again after its first revocation was forgotten may be remembered by another reason.
	Same bool
	// Digest is that of what is held since (see Replica.Digest): where Same is true, of what was read.
	Digest [32]byte
}

// Rebuild reads the stream from its beginning into another set, by a feed of its own, and has Check ask that one from then on: what a restart without a snapshot does,
// but without being away, and without forgetting: a revocation never stops holding, so what the replica holds and the stream has lost is kept. A replica that shall know only
// what the stream holds is one that is opened anew, without snapshots. Until then the replica goes on as before. It takes the memory of a second replica meanwhile, and at the end holds up the
// replica, though no Check, for about a fifth of a microsecond for each revocation; where the two sets differ, about twice as long.
//
// It blocks until that is done, or returns why it isn't: as Open does; ErrRebuilding; ErrClosed; the cause of ctx's end. After an error nothing has changed. feed must
// follow the same stream, and not be one that is being followed.
func (r *Replica) Rebuild(ctx context.Context, feed Feed) (Rebuilt, error) {
	if !r.rebuilding.CompareAndSwap(false, true) {
		return Rebuilt{}, ErrRebuilding
	}
	defer r.rebuilding.Store(false)
	// Before anything is read, so that a stream that is made anew or put back meanwhile is noticed.
	o := &offer{gate: &gate{Feed: feed}, restarts: r.restarts.Load(), taken: make(chan outcome, 1)}
	o.gate.key = r.set.Load().hash.Key()
	cfg := r.cfg
	cfg.Feed, cfg.Hooks, cfg.SnapshotFile, cfg.Snapshots = o.gate, Hooks{}, "", nil
	var err error
	if o.fresh, err = Open(ctx, cfg); err != nil {
		return Rebuilt{}, fmt.Errorf("read the stream anew: %w", err)
	}
	defer func() { _ = o.fresh.Close() }()
	r.offered.Store(o)
	select {
	case out := <-o.taken:
		return out.Rebuilt, out.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-r.done:
		err = ErrClosed
	}
	if !r.offered.CompareAndSwap(o, nil) {
		out := <-o.taken // it is being taken
		return out.Rebuilt, out.err
	}
	return Rebuilt{}, err
}

// offer is a replica that has read the stream anew, for the feed's goroutine to take its set.
type offer struct {
	fresh *Replica
	gate  *gate
	// restarts is how often the replica that it is offered to had begun a stream.
	restarts uint64
	taken    chan outcome
}

// of reports whether both have read one stream since the offer was begun, so that their positions can be compared. What the server calls a stream doesn't tell: it stays when the
// stream is put back, and each feed finds that out by itself.
//
//  1. the other is offered at position 101; 2. the stream is put back to 50; 3. our feed begins it anew, and applies an event at 51; 4. the other, at 101, seems to be further.
func (o *offer) of(s *sink) bool {
	return s.r.restarts.Load() == o.restarts && o.fresh.restarts.Load() == 1 && o.fresh.synced.Load() && o.fresh.Status().Made == s.made &&
		o.fresh.set.Load().hash.Key() == s.r.set.Load().hash.Key()
}

type outcome struct {
	Rebuilt
	err error
}

// gate is a feed that can be shut: then nothing more reaches its sink, at once. key is that of the fingerprints for whoever follows it, so that what it holds can be
// held against what is held by that key already, whatever the stream's is by now.
type gate struct {
	Feed
	key HashKey
	mu  sync.Mutex
	// isShut is guarded by mu, which is held while the sink takes something.
	isShut bool
}

func (g *gate) Follow(ctx context.Context, s Sink) error {
	return g.Feed.Follow(ctx, &gated{gate: g, Sink: s})
}

// shut waits until the sink has taken what it is taking.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isShut = true
}

// behindOffer is how long the feed's goroutine waits for a replica that has read the stream anew to come as far as it is itself. Both hear the same beat, so that is milliseconds.
const behindOffer = 50 * time.Millisecond

// takeOffer takes the set of a replica that has read the stream anew, if there is one and it has come as far. Only the feed's goroutine writes to the set, so it is the one that
// may replace it: what it applies from now on goes into the new one. That may know of more already; to apply it once more changes nothing.
func (s *sink) takeOffer() {
	r := s.r
	o := r.offered.Load()
	if o == nil {
		return
	}
	waiting, cancel := context.WithTimeout(s.ctx, behindOffer)
	defer cancel()
	if o.fresh.WaitFor(waiting, r.position.Load()) != nil {
		return // the next beat comes
	}
	// Nothing may be forgotten, or saved, between the two sets. The other replica's token is kept: until it is closed, its sweeper would forget what is ours by then, and our
	// Check wouldn't hear of it.
	select {
	case o.fresh.saving <- struct{}{}:
	default:
		return
	}
	select {
	case r.saving <- struct{}{}:
		defer func() { <-r.saving }()
	default:
		<-o.fresh.saving
		return
	}
	if !r.offered.CompareAndSwap(o, nil) {
		return // nobody waits for it any more
	}
	o.gate.shut()
	if !o.of(s) {
		o.taken <- outcome{err: errOtherStream}
		return
	}
	o.taken <- outcome{Rebuilt: r.replace(o.fresh)}
}

// replace puts another replica's set, to which nobody writes any more, in the place of ours.
func (r *Replica) replace(by *Replica) Rebuilt {
	before, now := r.set.Load(), by.set.Load()
	raise(&r.unheard, by.unheard.Load())
	r.raiseSwept(by.swept.Load())
	if until := r.forgettable(r.steady.believe(time.Now())); !until.IsZero() {
		r.raiseSwept(millis(until))
		before.expire(until)
		now.expire(until)
	}
	out := Rebuilt{Position: r.position.Load(), Digest: now.digest()}
	if out.Same = out.Digest == before.digest(); !out.Same {
		// The stream may have lost what was held: one that was made anew, or put back, has.
		now.merge(before)
		out.Digest = now.digest()
	}
	if by.leftOut.Load() {
		r.leftOut.Store(true)
	}
	r.set.Store(now)
	// What the other set didn't hold may end watches.
	r.watches.checkAll()
	return out
}

// gated is a sink behind a gate.
type gated struct {
	gate *gate
	Sink
}

var errShut = errors.New("the gate is shut")

func (g *gated) Begin(h Head) (after uint64, err error) {
	err, h.HashKey = errShut, g.gate.key
	g.pass(func() { after, err = g.Sink.Begin(h) })
	return after, err
}

func (g *gated) Event(p Place, e events.Event) { g.pass(func() { g.Sink.Event(p, e) }) }
func (g *gated) Skip(p Place, err error)       { g.pass(func() { g.Sink.Skip(p, err) }) }
func (g *gated) Beat(p Place)                  { g.pass(func() { g.Sink.Beat(p) }) }
func (g *gated) Reach(position uint64)         { g.pass(func() { g.Sink.Reach(position) }) }

func (g *gated) pass(do func()) {
	g.gate.mu.Lock()
	defer g.gate.mu.Unlock()
	if !g.gate.isShut {
		do()
	}
}
