package gate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/revocation"
)

const (
	// writeTimeout is how long a reader may take for what is written at once, and drainTimeout how long when the server stops.
	writeTimeout, drainTimeout = 5 * time.Second, time.Second
	// chunkBytes is about how much is written at once while there is more to send.
	chunkBytes = 32 << 10
	// headTimeout bounds the asking for the ledger's head.
	headTimeout = 5 * time.Second
	// beatGap is how long ago the last beat that was passed on must have been stored, if nothing has come between: with many publishers there are many
	// beats, and one proves as much as ten.
	beatGap = 200 * time.Millisecond
	// lateSynced and lateLoading are for how long beats may come too late to be passed on, because of what must be sent before them, until the reader is
	// cut off as too slow: as one that is synced, and as one that is still loading, which comes back to where it was.
	lateSynced, lateLoading = 30 * time.Second, 10 * time.Minute
)

var (
	errSlowReader = errors.New("the reader is too slow")
	errKeyRevoked = errors.New("the reader's API key was revoked")
	errReset      = errors.New("the ledger isn't the one that the reader has read")
)

// follower is one stream. Everything goes through its one goroutine: what proves freshness is written behind what it proves.
type follower struct {
	svc *Service
	key access.Key
	w   http.ResponseWriter
	ctl *http.ResponseController

	// after is up to where the ledger has been read and written to buf.
	after uint64
	// incarnation is the ledger that the gate's replica followed when the stream was opened.
	incarnation string
	// made is when the stream was made that is read, and head its last position when the first reading began.
	made time.Time
	head uint64
	// begun says whether the answer has begun, synced whether the frame was sent that says so.
	begun, synced bool
	// lastBeat is when the last beat that was passed on was stored, by the ledger's clock. onTime is when one was passed on, or the reading began.
	lastBeat, onTime time.Time
	// news says whether a revocation was sent since.
	news bool
	// buf is what has yet to be written, and broken why it can't be: a frame couldn't be made.
	buf    []byte
	broken error
}

// read reads the ledger once, from where the stream is, until that breaks. Its error is an *over if the stream is over.
func (f *follower) read(ctx context.Context) error {
	err := f.readAll(ctx)
	var ended *over
	if errors.As(err, &ended) || !f.begun {
		return err
	}
	// What was gathered before it broke.
	if err := f.flush(); err != nil {
		return err
	}
	return err
}

// readAll reads what there is, and then what comes, with the beats among it. They are two readings, for a server that looks for two kinds of topics in a long
// stretch of the ledger takes a hundred times as long for each message. The second begins behind the last message that the first has delivered, and nowhere
// later: that a consumer or a leader has found no more proves nothing, for its copy of the ledger may lag.
func (f *follower) readAll(ctx context.Context) error {
	head, err := f.askHead(ctx)
	if err != nil {
		return err
	}
	if err := f.begin(head); err != nil {
		return err
	}
	own := events.TenantTopics(f.key.Tenant)
	if err := f.svc.cfg.Ledger.Read(ctx, ledger.Range{Topics: []string{own}, After: f.after}, f.take, nil); err != nil {
		return err
	}
	span := ledger.Range{Topics: []string{own, events.TopicBeat}, After: f.after, Follow: true, Silence: f.svc.cfg.BeatTimeout}
	// What was read until now may have been another ledger's. One that is replaced later takes the reading with it.
	return f.svc.cfg.Ledger.Read(ctx, span, f.take, func() error { return f.inspect(ctx) })
}

// begin begins a reading, and with the first the answer.
func (f *follower) begin(head ledger.Head) error {
	f.onTime = time.Now()
	if f.begun {
		return f.same(head)
	}
	f.begun, f.made, f.head = true, head.Made, head.Last
	streamHeaders(f.w.Header())
	f.w.WriteHeader(http.StatusOK)
	f.retry(time.Second, 3*time.Second)
	if err := f.same(head); err != nil {
		return err
	}
	if f.after == 0 {
		f.unheard(head)
	}
	return f.flush()
}

// inspect is called when nothing that comes behind f.after can be missed any more.
func (f *follower) inspect(ctx context.Context) error {
	head, err := f.askHead(ctx)
	if err != nil {
		return err
	}
	return f.same(head)
}

func (f *follower) askHead(ctx context.Context) (ledger.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, headTimeout)
	defer cancel()
	return f.svc.cfg.Ledger.Head(ctx)
}

// same ends the stream if what lies behind f.after isn't what the follower misses: the ledger was made anew or put back, or has removed some of it. That may
// have been beats alone, which are gone after a minute; then there is nothing to load anew either.
func (f *follower) same(head ledger.Head) error {
	if !head.Made.Equal(f.made) || f.after > 0 && (head.Last < f.after || head.First > f.after+1) {
		return f.reset()
	}
	return nil
}

// reset tells that the stream can't go on, and ends it.
func (f *follower) reset() error {
	f.resetFrame()
	if err := f.flush(); err != nil {
		return err
	}
	return &over{"reset", errReset}
}

// unheard sends a cutoff for what the ledger may have lost, as a replica holds it: a session that began before the ledger was whole may have been ended by
// an event that is gone (ADR 0034).
func (f *follower) unheard(head ledger.Head) {
	if head.WholeSince.IsZero() {
		return
	}
	replica := f.svc.cfg.Replica
	cutoff := head.WholeSince.Add(replica.Leeway())
	until := cutoff.Add(replica.MaxAge() + replica.Leeway())
	if !until.After(f.now()) {
		return
	}
	f.append("revocation", 0, streamed{
		ID: "whole_since", Scope: events.KindTenant, CutoffMS: milliseconds(cutoff), Reason: events.ReasonMaxAge, At: instant(head.WholeSince), ExpiresAt: instant(until),
	})
}

// now returns the time by which revocations are left out as expired: the earliest of our clock, of our clock without its jumps since the start, and of the
// ledger's, so that a clock that is set ahead leaves out nothing that is needed.
func (f *follower) now() time.Time {
	now := time.Now()
	earliest := now.Round(0)
	for _, t := range []time.Time{f.svc.began.Round(0).Add(now.Sub(f.svc.began)), f.svc.streams.clock(false).Now(now).Round(0)} {
		if t.Before(earliest) {
			earliest = t
		}
	}
	return earliest
}

// take takes the next message of the ledger: an event of the tenant, or a beat.
func (f *follower) take(e ledger.Entry) error {
	f.after = e.Position
	if e.Beat {
		return f.beat(e)
	}
	// What can't be read the replica has counted and told of; and it has left out what would lock people out.
	if e.Event != nil && e.Event.Meta().Tenant == f.key.Tenant && !revocation.CutoffInFuture(e.Event, e.Stored) {
		until := f.svc.cfg.Replica.KeepsUntil(e.Event, e.Stored)
		if until.After(f.now()) {
			f.append("revocation", e.Position, streamedOf(e, until))
			f.news = true
		}
	}
	return f.gathered(e)
}

// gathered writes what is in buf if it is much, or if nothing is stored behind e yet.
func (f *follower) gathered(e ledger.Entry) error {
	if len(f.buf) < chunkBytes && e.Pending > 0 {
		return nil
	}
	return f.flush()
}

// beat passes a beat on, behind everything that lies before it, if it is proof: it isn't old, the gate's own replica vouches for the ledger, and what there
// was when the stream was opened lies before it.
func (f *follower) beat(e ledger.Entry) error {
	status := f.svc.cfg.Replica.Status()
	if status.Stream != "" && status.Stream != f.incarnation {
		return f.reset()
	}
	age := f.svc.streams.clock(false).Age(e.Stored, time.Now())
	switch {
	case age < -time.Second:
		// Clocks aren't what they were, and nothing is known of when it was stored.
		f.svc.streams.clock(true)
		return f.gathered(e)
	case age > f.svc.oldestBeat() || e.Position < f.head:
		late := lateLoading
		if f.synced {
			late = lateSynced
		}
		if time.Since(f.onTime) > late {
			return &over{"slow", fmt.Errorf("%w: for %v no beat was passed on in time", errSlowReader, late)}
		}
		return f.gathered(e)
	case !status.Fresh:
		f.onTime = time.Now() // the reader isn't to blame
		return f.gathered(e)
	case f.synced && !f.news && e.Stored.Sub(f.lastBeat) < beatGap:
		return f.gathered(e)
	}
	f.proof(e)
	if err := f.flush(); err != nil {
		return err
	}
	f.synced, f.news, f.lastBeat, f.onTime = true, false, e.Stored, time.Now()
	return nil
}

// oldestBeat is how old a beat may be when it is passed on: a fifth of the budget. Whoever follows dates it by when it arrives, and is told of a budget that
// is shorter by as much.
func (s *Service) oldestBeat() time.Duration { return s.cfg.Replica.StalenessBudget() / 5 }

// flush writes what has been gathered. Nothing is written to who shows a key that was revoked (trap 23).
func (f *follower) flush() error {
	if !f.svc.cfg.Keys.Live(f.key.ID) {
		return &over{"key_revoked", errKeyRevoked}
	}
	if f.broken != nil {
		return &over{"failed", f.broken}
	}
	if len(f.buf) == 0 {
		return nil
	}
	timeout := writeTimeout
	if f.svc.streams.draining.Err() != nil {
		timeout = drainTimeout
	}
	began := time.Now()
	err := f.ctl.SetWriteDeadline(began.Add(timeout))
	if err == nil {
		_, err = f.w.Write(f.buf)
	}
	if err == nil {
		err = f.ctl.Flush()
	}
	f.buf = f.buf[:0]
	switch {
	case err == nil:
		return nil
	case f.svc.streams.draining.Err() != nil:
		return &over{"draining", err}
	case time.Since(began) >= timeout:
		// HTTP/2 has no error that says so.
		return &over{"slow", fmt.Errorf("%w: %w", errSlowReader, err)}
	}
	return &over{"left", err}
}
