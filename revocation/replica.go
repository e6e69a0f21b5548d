package revocation

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/curfewhq/curfew/events"
	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

// Replica is one process's copy of all live revocations. Make one with [Open] and share it: all methods are safe for concurrent use.
type Replica struct {
	cfg Config
	// set is replaced as long as it is empty, by one with the deployment's key of fingerprints.
	set atomic.Pointer[set]

	fresh    freshness
	position atomic.Uint64
	head     atomic.Uint64
	synced   atomic.Bool
	skipped  atomic.Uint64
	// leftOut is whether a message was skipped that another version may be able to read.
	leftOut atomic.Bool
	// restarts counts how often a stream was begun that isn't the one of before.
	restarts atomic.Uint64
	// rebuilding is whether a Rebuild is under way, and offered what it has read, until that is taken.
	rebuilding atomic.Bool
	offered    atomic.Pointer[offer]
	// saving holds a token while a snapshot is written.
	saving chan struct{}
	// retentionShort is whether the stream forgets events while they are needed.
	retentionShort atomic.Bool
	// swept is up to when (Unix milliseconds) entries have been forgotten.
	swept atomic.Int64
	// unheard is up to when sessions may have begun whose revocations the stream had lost before we read it, in Unix milliseconds.
	unheard atomic.Int64
	steady  steadyClock
	waiters waiters
	checks  tally
	watches *watches

	// opened is closed once the replica is synced and fresh for the first time.
	opened chan struct{}
	// fatal takes the error that no retry can mend.
	fatal  chan error
	cancel context.CancelFunc
	// closing is closed by Close, and closed is set before; done is closed when everything that Open started has stopped.
	closing chan struct{}
	closed  atomic.Bool
	done    chan struct{}
	once    sync.Once

	mu sync.Mutex
	// stream identifies what position counts in, and made is what its server calls it.
	stream, made string
	// last is the last event that was applied.
	last mark
	// newest is when the last message was stored, by the stream's clock.
	newest time.Time
	// lastErr is why the feed was last lost.
	lastErr error
	// watchers are replaced, never changed, so that a call of all of them needs no lock.
	watchers []*watcher
}

type watcher struct{ fn func(Applied) }

// Open follows the feed and returns once the replica is synced and fresh: it has applied everything up to the stream's head at that time,
// and a beat that is no older than the staleness budget has proved that nothing is missing.
//
// ctx bounds the opening only. Its end is reported by its cause, together with what was missing, ErrNotSynced or ErrNoBeat, and why the
// feed was last lost. A stream that forgets revocations before sessions reach max age is refused with ErrRetention. After an error nothing is
// left running. The caller closes the replica.
func Open(ctx context.Context, cfg Config) (*Replica, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := newReplica(cfg.withDefaults())
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	go r.run(run)
	select {
	case <-r.opened:
		return r, nil
	case err := <-r.fatal:
		_ = r.Close()
		return nil, err
	case <-ctx.Done():
		err := r.unopened(context.Cause(ctx))
		_ = r.Close()
		return nil, err
	}
}

// unopened returns why Open couldn't return before its ctx ended by cause.
func (r *Replica) unopened(cause error) error {
	s := r.Status()
	var err error
	switch {
	case !s.Synced:
		err = fmt.Errorf("%w: %w", ErrNotSynced, cause)
	case s.Staleness < 0:
		err = fmt.Errorf("replica is synced, but %w: %w", ErrNoBeat, cause)
	default:
		err = fmt.Errorf("replica is synced, but %w; the last one is %v old: %w", ErrNoBeat, s.Staleness.Round(time.Millisecond), cause)
	}
	if s.LastError != nil {
		err = errors.Join(err, fmt.Errorf("the feed was last lost: %w", s.LastError))
	}
	return err
}

func newReplica(cfg Config) *Replica {
	r := &Replica{
		cfg: cfg, watches: newWatches(), opened: make(chan struct{}), fatal: make(chan error, 1), closing: make(chan struct{}), done: make(chan struct{}),
		saving: make(chan struct{}, 1), steady: steadyClock{began: time.Now()},
	}
	r.unheard.Store(math.MinInt64)
	var key [fp.KeySize]byte
	_, _ = rand.Read(key[:]) // never fails
	r.set.Store(newSet(r.lifetimes(), key))
	return r
}

func (r *Replica) lifetimes() lifetimes { return lifetimes{maxAge: r.cfg.MaxAge, leeway: r.cfg.Leeway} }

// Close stops following and waits for it. Afterwards Check answers Revoked where it knows and Undetermined otherwise. It always returns
// nil and may be called any number of times, but not from a hook or a watcher, for which it would wait.
func (r *Replica) Close() error {
	r.once.Do(func() {
		r.closed.Store(true)
		close(r.closing)
		r.cancel()
	})
	<-r.done
	return nil
}

// run owns every goroutine of the replica.
func (r *Replica) run(ctx context.Context) {
	defer close(r.done)
	var sweeper sync.WaitGroup
	sweeper.Go(func() { r.sweep(ctx) })
	sweeper.Go(func() { r.keepSaved(ctx) })
	defer sweeper.Wait()
	// What has been applied ends its watches, also that which is applied last.
	defer r.watchOver()()

	const shortest, longest = 100 * time.Millisecond, 2 * time.Second
	wait := shortest
	for {
		began := time.Now()
		err := r.cfg.Feed.Follow(ctx, &sink{r: r, ctx: ctx})
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrRetention) {
			select {
			case r.fatal <- err:
			default:
			}
		}
		if time.Since(began) > longest {
			wait = shortest
		}
		// Full jitter: replicas of one stream mustn't come back together.
		pause := shortest/2 + mathrand.N(wait)
		wait = min(2*wait, longest)
		r.lost(err, pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (r *Replica) lost(err error, pause time.Duration) {
	r.mu.Lock()
	r.lastErr = err
	r.mu.Unlock()
	if r.cfg.Hooks.FeedLost != nil {
		r.cfg.Hooks.FeedLost(err, pause)
	}
}

// sweep forgets expired entries now and then.
func (r *Replica) sweep(ctx context.Context) {
	tick := time.NewTicker(r.cfg.SweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.forget(r.steady.believe(time.Now()))
		}
	}
}

// forget forgets what has expired. Its clock is the earlier of ours and the stream's, so that one clock that jumps ahead can't make the
// replica forget; ours is one that doesn't jump (steadyClock), for both may be the same machine's. Without a message of the stream nothing is
// forgotten; nor while a snapshot is written, whose header says up to when that was done.
func (r *Replica) forget(wall time.Time) {
	if n := r.forgotten(wall); n > 0 && r.cfg.Hooks.Expired != nil {
		r.cfg.Hooks.Expired(n)
	}
}

// forgotten forgets, and returns how many entries that was.
func (r *Replica) forgotten(wall time.Time) int {
	select {
	case r.saving <- struct{}{}:
		defer func() { <-r.saving }()
	default:
		return 0
	}
	now := r.forgettable(wall)
	if now.IsZero() {
		return 0
	}
	// Before the entries go, so that a Check which doesn't find them finds this.
	r.raiseSwept(millis(now))
	return r.set.Load().expire(now)
}

// forgettable returns up to when entries may be forgotten; zero if nothing may be.
func (r *Replica) forgettable(wall time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.newest.IsZero() && wall.Before(r.newest) {
		return wall
	}
	return r.newest
}

// raiseSwept notes up to when entries are forgotten; never back, whoever notes at the same time.
func (r *Replica) raiseSwept(ms int64) { raise(&r.swept, ms) }

// raise stores x if it is more than what is there.
func raise(to *atomic.Int64, x int64) {
	for old := to.Load(); x > old && !to.CompareAndSwap(old, x); old = to.Load() {
	}
}

// Check answers whether s is over, by the replica's own budget and with every claim required. It does no I/O and doesn't
// allocate.
func (r *Replica) Check(s Session) (d Decision) {
	line := r.check(&s, &Require{}, &d)
	r.checks.add(line, d.State)
	return d
}

// CheckWith is Check with a route's own requirements.
//
// The order is the contract's: a revocation of the session, cutoffs of user, device, client and tenant, max age. These hold even when the
// replica is stale. Only then does it matter what the replica can't know.
func (r *Replica) CheckWith(s Session, q Require) (d Decision) {
	line := r.check(&s, &q, &d)
	r.checks.add(line, d.State)
	return d
}

// check fills in d, which is empty, and counts nothing: Status tells of the checks that callers make. It returns by which number to count it.
func (r *Replica) check(s *Session, q *Require, d *Decision) (line uint64) {
	for {
		search := search{set: r.set.Load(), of: s}
		r.decide(&search, s, q, d)
		// A set that was replaced meanwhile has heard nothing since, and must not answer under the position of the other.
		if r.set.Load() == search.set {
			return search.session.First
		}
		*d = Decision{}
	}
}

// decide fills in d, which is empty. What doesn't need the set is worked out first, while the memory that the search has asked for is on its way.
func (r *Replica) decide(search *search, s *Session, q *Require, d *Decision) {
	// The position is read before the set: what is applied in between makes the answer newer than it says, never older.
	// So are the proof and whether there is one of this stream.
	synced := r.synced.Load()
	d.Position = r.position.Load()
	proof := r.fresh.proof.Load()
	search.begin()
	now := time.Now()
	d.Staleness = staleness(proof, now)
	swept := r.swept.Load()
	tooOld := r.pastMaxAge(s.AuthTime, now)
	cause := r.unknown(s, q, d, now, synced)
	by := search.ending()
	if r.swept.Load() != swept {
		// 1. it isn't too old; 2. a sweep by a later clock forgets its cutoff; 3. no cutoff is found.
		tooOld = r.pastMaxAge(s.AuthTime, now)
	}
	switch {
	case by.exists():
		d.State, d.Scope, d.Reason, d.EventPosition = Revoked, by.scope(), reasonOf(by.why.cause()), by.why.pos().position(d.Position)
	case tooOld:
		d.State, d.Scope, d.Reason = Revoked, ScopeMaxAge, events.ReasonMaxAge
	case cause != nil:
		d.Cause = cause
	default:
		d.State = Active
	}
}

// pastMaxAge reports whether a session with that auth time has reached max age, or is as good as past it: if the stream has lost what it stored when
// the session had begun, nobody knows what ended it. Seconds decide nearly always, and cost less than times.
func (r *Replica) pastMaxAge(authTime, now time.Time) bool {
	if authTime.IsZero() {
		return false
	}
	latest := max(now.Unix(), (r.swept.Load()-r.cfg.Leeway.Milliseconds())/1000)
	begun := authTime.Unix()
	// Sessions that began before 1970 have a mistake for a date; far enough back, the difference would overflow.
	if begun >= 0 && latest-begun < int64(r.cfg.MaxAge/time.Second)-1 && begun > r.unheard.Load()/1000 {
		return false
	}
	return begun < 0 || authTime.UnixMilli() <= r.unheard.Load() || !r.oldest(now).Before(authTime.Round(0).Add(r.cfg.MaxAge))
}

// oldest returns the time by which max age is judged: now, or later if entries were forgotten by a later clock. What has been forgotten
// because of its age must be refused because of its age, whatever the clock says meanwhile:
//
//  1. the clock is right, and the cutoff of a session past max age is forgotten; 2. the clock is set back by a day; 3. Check.
//
// Max age is a matter of dates, so readings of the monotonic clock, which stands still while the machine sleeps, play no part.
func (r *Replica) oldest(now time.Time) time.Time {
	if swept := time.UnixMilli(r.swept.Load()).Add(-r.cfg.Leeway); swept.After(now) {
		return swept
	}
	return now
}

// unknown returns why the replica can't vouch for s, or nil.
func (r *Replica) unknown(s *Session, q *Require, d *Decision, now time.Time, synced bool) error {
	budget := r.cfg.StalenessBudget
	if q.MaxStaleness != 0 {
		budget = min(budget, q.MaxStaleness)
	}
	switch {
	case s.ID == "" && !q.DangerouslyAllowMissingSession:
		return ErrMissingSession
	case s.User == "" && !q.DangerouslyAllowMissingUser:
		return ErrMissingUser
	case s.AuthTime.IsZero() && (!q.DangerouslyAllowMissingAuthTime || r.set.Load().touched(s)):
		return ErrMissingAuthTime
	case r.inFuture(s.AuthTime, now):
		return ErrAuthTimeInFuture
	case r.isClosed():
		return ErrClosed
	case !synced:
		return ErrNotSynced
	case !within(d.Staleness, budget):
		return ErrStale
	case d.Position < q.Position:
		return ErrBehind
	}
	return nil
}

// inFuture reports whether an auth time lies ahead by more than clocks differ. Dates so far ahead that comparing them overflows do.
func (r *Replica) inFuture(authTime, now time.Time) bool {
	ahead := authTime.Unix() - now.Unix()
	return ahead >= 0 && (ahead > 1<<40 || authTime.After(now.Add(r.cfg.Leeway)))
}

func (r *Replica) isClosed() bool { return r.closed.Load() }

// WaitFor blocks until the replica has applied the stream up to position, and returns nil; or until ctx ends or the replica is closed,
// and returns why. Presenting the position that a publish answered with makes any replica know of that publish ("read your logout").
//
// Of more than [MaxWaiters] at once whoever waits for the farthest position is told [ErrTooManyWaiters] at once. Bound ctx: a position may never come.
func (r *Replica) WaitFor(ctx context.Context, position uint64) error {
	return r.waiters.wait(ctx, position, func() bool { return r.position.Load() >= position }, r.closing)
}

// OnApplied calls fn for each event after it has been applied, from the replica's goroutine, in order; fn must not block. It returns a
// function that ends it; a call that is under way when it returns may still run.
//
// What watches and also checks does it in this order, so that nothing falls between: watch, then check.
func (r *Replica) OnApplied(fn func(Applied)) (stop func()) {
	if fn == nil {
		panic("revocation: OnApplied: fn is nil")
	}
	w := &watcher{fn}
	r.mu.Lock()
	r.watchers = append(slices.Clone(r.watchers), w)
	r.mu.Unlock()
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.watchers = slices.DeleteFunc(slices.Clone(r.watchers), func(other *watcher) bool { return other == w })
	}
}

// Status is a replica's own account of itself.
type Status struct {
	// Stream identifies the stream and its incarnation. Made is what its server calls it, which snapshots name. See [Head].
	Stream, Made string
	// Synced is false until everything up to the head that was seen at the start has been applied.
	Synced bool
	// Fresh is whether Check can answer Active.
	Fresh bool
	// Position is up to where the stream has been applied; Head is its last position when it was last asked.
	Position, Head uint64
	// LastEvent is the position of the last event that was applied, which is what a snapshot taken now would be bound to; 0 if none was.
	LastEvent uint64
	// Staleness is the age of the proof; negative when there is none, as before the first beat of a stream.
	Staleness time.Duration
	// Sessions counts the sessions that are revoked by name, and Cutoffs the users, devices, clients and tenants that have cutoffs.
	Sessions, Cutoffs int
	// Active, Revoked and Undetermined count the checks that were answered so.
	Active, Revoked, Undetermined uint64
	// Skipped counts messages that held no event that this version knows.
	Skipped uint64
	// ExceptionsDropped counts cutoffs that were noted without the sessions that they except, or spare, so that these are refused as well: a replica holds
	// some hundred million exceptions, and a two-thousandth of them for ids whose fingerprints begin alike. More than 0 means that somebody who knows the
	// key of fingerprints has chosen ids.
	ExceptionsDropped uint64
	// RetentionShort is whether the stream keeps events for less than max age and leeway. See Hooks.
	RetentionShort bool
	// LastError is why the feed was last lost; nil if it never was.
	LastError error
}

// Status returns the replica's state. Its fields are read one after the other.
func (r *Replica) Status() Status {
	set := r.set.Load()
	sessions, cutoffs := set.size()
	// In the order of Check, so that the old stream's proof and the new one's sync don't make it look fresh.
	synced := r.synced.Load()
	staleness := r.fresh.staleness(time.Now())
	r.mu.Lock()
	defer r.mu.Unlock()
	return Status{
		Stream: r.stream, Made: r.made, Synced: synced, Position: r.position.Load(), Head: r.head.Load(), LastEvent: r.last.at.Position, Staleness: staleness,
		Fresh:    synced && within(staleness, r.cfg.StalenessBudget) && !r.isClosed(),
		Sessions: sessions, Cutoffs: cutoffs, Skipped: r.skipped.Load(), RetentionShort: r.retentionShort.Load(), ExceptionsDropped: set.scopes.Dropped(),
		Active: r.checks.sum(Active), Revoked: r.checks.sum(Revoked), Undetermined: r.checks.sum(Undetermined), LastError: r.lastErr,
	}
}

// Digest is equal for replicas of one deployment that hold the same revocations, wherever in the stream these lay and in whatever order they came.
// Replicas without a common key of fingerprints (see [Head]) have different ones. It takes about a second for ten million revocations.
func (r *Replica) Digest() [32]byte { return r.set.Load().digest() }
