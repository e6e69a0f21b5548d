package revocationtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// Errors that Follow returns.
var (
	// ErrReplaced is returned when the stream was made anew or put back.
	ErrReplaced = errors.New("the stream was replaced")
	// ErrRetentionChanged is returned when the stream's retention was changed.
	ErrRetentionChanged = errors.New("the stream's retention was changed")
	// ErrCut is returned between Cut and Heal.
	ErrCut = errors.New("the link is cut")
)

// Feed is a fake [revocation.Feed] and the stream behind it. Make one with [New]. All methods are safe for concurrent use, and several
// replicas may follow it at once.
type Feed struct {
	mu sync.Mutex
	// incarnation counts how often the stream was made.
	incarnation int
	// log holds what can be delivered, by position.
	log []message
	// last is the last position; log may end before it.
	last      uint64
	hashKey   [16]byte
	retention time.Duration
	stalled   bool
	cut       bool
	// breaks counts the calls of Break, and broken is the last one's error.
	breaks int
	broken error
	// nextBeat is when the next beat of New or AutoBeat is due; zero if none is. beatEvery is 0 without AutoBeat.
	nextBeat  time.Time
	beatEvery time.Duration
	// changed is closed and replaced whenever something above has changed.
	changed chan struct{}
}

// message is one message of the stream: an event, a beat, or what can't be read.
type message struct {
	position uint64
	event    events.Event
	fault    error
	// stored is a reading of our clock.
	stored time.Time
}

func (m message) beat() bool { return m.event == nil && m.fault == nil }

var _ revocation.Feed = (*Feed)(nil)

// New returns a feed whose stream is empty and keeps everything for ever.
//
// One beat is due: it is stored when the feed is first followed, at the next position, for without a beat no replica opens. So a replica
// that is opened then is fresh for its staleness budget, and no longer. Call AutoBeat for a replica that stays fresh, or for replicas that
// are opened later; or AutoBeat(0) for a stream that has no beats but those of Beat and BeatAt.
func New() *Feed {
	f := &Feed{incarnation: 1, nextBeat: time.Now(), changed: make(chan struct{})}
	_, _ = rand.Read(f.hashKey[:]) // never fails
	return f
}

// Publish stores e and returns its position. It panics if e isn't valid. What is delivered is what a reader of the wire would get: a copy,
// with times in whole milliseconds.
func (f *Feed) Publish(e events.Event) uint64 {
	b, err := events.Encode(e)
	if err != nil {
		panic(fmt.Sprintf("revocationtest: Publish: %v", err))
	}
	return f.PublishRaw(events.TopicOf(e).String(), b)
}

// PublishRaw stores any bytes on any topic and returns their position. What isn't a known event of its topic is skipped by the replica.
func (f *Feed) PublishRaw(topic string, data []byte) uint64 {
	e, err := events.DecodeMessage(topic, data)
	if topic == events.TopicBeat {
		e, err = nil, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store(message{event: e, fault: err, stored: time.Now()})
}

// Beat stores a beat and returns its position.
func (f *Feed) Beat() uint64 { return f.BeatAt(time.Now()) }

// BeatAt stores a beat as if it had been stored at t, a reading of this process's clock, and returns its position.
func (f *Feed) BeatAt(t time.Time) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store(message{stored: t})
}

// AutoBeat stores a beat at once and at every interval from now on, for as long as somebody follows. Zero or less ends it. Either way it
// takes the place of the beat of New, if that isn't stored yet.
func (f *Feed) AutoBeat(interval time.Duration) {
	f.set(func() {
		f.beatEvery, f.nextBeat = max(interval, 0), time.Time{}
		if interval > 0 {
			f.nextBeat = time.Now()
		}
	})
}

// Stall delivers nothing from now on, as a half-open connection does: no message and no error. Publishing goes on.
func (f *Feed) Stall() { f.set(func() { f.stalled = true }) }

// Resume ends Stall: what was stored meanwhile is delivered.
func (f *Feed) Resume() { f.set(func() { f.stalled = false }) }

// Break makes every Follow that is under way return err, also one that is stalled. Following again works.
func (f *Feed) Break(err error) { f.set(func() { f.breaks++; f.broken = err }) }

// Cut makes every Follow return ErrCut until Heal. Publishing goes on.
func (f *Feed) Cut() { f.set(func() { f.cut = true }) }

// Heal ends Cut.
func (f *Feed) Heal() { f.set(func() { f.cut = false }) }

// Recreate replaces the stream by an empty one, whose positions begin anew. Every Follow that is under way returns ErrReplaced. A replica
// is fresh again only with a beat of the new stream.
func (f *Feed) Recreate() {
	f.set(func() { f.incarnation++; f.log = nil; f.last = 0 })
}

// PutBack removes everything after position for ever, as putting back a backup does: the stream is the same, and the next message gets the
// position after it. Every Follow that is under way returns ErrReplaced.
func (f *Feed) PutBack(position uint64) {
	f.set(func() {
		f.log = slices.DeleteFunc(f.log, func(m message) bool { return m.position > position })
		f.last = min(f.last, position)
		f.breaks++
		f.broken = ErrReplaced
	})
}

// ExpireBeats removes all beats, as their time to live does. The last position stays what it was, though nothing may be left there.
func (f *Feed) ExpireBeats() {
	f.set(func() { f.log = slices.DeleteFunc(f.log, message.beat) })
}

// RemoveLast removes the last message that is left, if any. The last position stays what it was.
func (f *Feed) RemoveLast() {
	f.set(func() { f.log = f.log[:max(len(f.log)-1, 0)] })
}

// Expire removes everything up to position, as retention does that has passed it. The last position stays what it was.
func (f *Feed) Expire(position uint64) {
	f.set(func() {
		f.log = slices.DeleteFunc(f.log, func(m message) bool { return m.position <= position })
	})
}

// SetRetention changes how long the stream keeps events, 0 for ever. Nothing is forgotten because of it. Every Follow that is under way returns
// ErrRetentionChanged, and the next one tells.
func (f *Feed) SetRetention(d time.Duration) { f.set(func() { f.retention = d }) }

// Last returns the last position.
func (f *Feed) Last() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

func (f *Feed) set(what func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what()
	f.change()
}

// change wakes the followers. mu is held.
func (f *Feed) change() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// store appends m at the next position. mu is held.
func (f *Feed) store(m message) uint64 {
	f.last++
	m.position = f.last
	f.log = append(f.log, m)
	f.change()
	return m.position
}

// follower is one call of Follow.
type follower struct {
	feed        *Feed
	incarnation int
	breaks      int
	head        revocation.Head
	// position is up to where the sink has been told.
	position uint64
}

// Follow implements [revocation.Feed].
func (f *Feed) Follow(ctx context.Context, sink revocation.Sink) error {
	fo, err := f.begin()
	if err != nil {
		return err
	}
	if fo.position, err = sink.Begin(fo.head); err != nil {
		return err
	}
	for {
		step, err := fo.next()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case step.deliver != nil:
			step.deliver(sink)
			continue
		}
		if err := step.wait(ctx); err != nil {
			return err
		}
	}
}

func (f *Feed) begin() (*follower, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return nil, ErrCut
	}
	head := revocation.Head{
		Stream: fmt.Sprintf("fake@%d", f.incarnation), First: f.last + 1, Last: f.last, Retention: f.retention, HashKey: f.hashKey, Holds: f.holds,
	}
	if len(f.log) > 0 {
		head.First = f.log[0].position
	}
	return &follower{feed: f, incarnation: f.incarnation, breaks: f.breaks, head: head}, nil
}

// holds implements Head.Holds. A stream that was made anew, or put back, stores other messages at its positions.
func (f *Feed) holds(p revocation.Place) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return false, ErrCut
	}
	return slices.ContainsFunc(f.log, func(m message) bool { return m.position == p.Position && m.stored.Equal(p.Stored) }), nil
}

// step is what a follower does next: deliver, or wait for a change, and no longer than until beatAt unless that is zero.
type step struct {
	deliver func(revocation.Sink)
	changed <-chan struct{}
	beatAt  time.Time
}

func (s step) wait(ctx context.Context) error {
	var due <-chan time.Time
	if !s.beatAt.IsZero() {
		timer := time.NewTimer(time.Until(s.beatAt))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.changed:
	case <-due:
	}
	return nil
}

func (fo *follower) next() (step, error) {
	f := fo.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.cut:
		return step{}, ErrCut
	case f.incarnation != fo.incarnation:
		return step{}, ErrReplaced
	case f.breaks != fo.breaks:
		return step{}, f.broken
	case f.retention != fo.head.Retention:
		return step{}, ErrRetentionChanged
	}
	f.beatIfDue()
	wait := step{changed: f.changed, beatAt: f.nextBeat}
	if f.stalled {
		return wait, nil
	}
	i, _ := slices.BinarySearchFunc(f.log, fo.position+1, func(m message, position uint64) int {
		if m.position < position {
			return -1
		}
		return 1
	})
	if i < len(f.log) {
		m := f.log[i]
		fo.position = m.position
		return step{deliver: m.deliver}, nil
	}
	if last := fo.head.Last; fo.position < last {
		fo.position = last
		return step{deliver: func(sink revocation.Sink) { sink.Reach(last) }}, nil
	}
	return wait, nil
}

// beatIfDue stores the beat of New or AutoBeat. The followers do it, so that no goroutine is needed that somebody would have to end; whoever
// comes first does it for all. mu is held.
func (f *Feed) beatIfDue() {
	now := time.Now()
	if f.nextBeat.IsZero() || now.Before(f.nextBeat) {
		return
	}
	f.nextBeat = time.Time{}
	if f.beatEvery > 0 {
		f.nextBeat = now.Add(f.beatEvery)
	}
	f.store(message{stored: now})
}

func (m message) deliver(sink revocation.Sink) {
	switch {
	case m.beat():
		sink.Beat(m.place())
	case m.fault != nil:
		sink.Skip(m.place(), m.fault)
	default:
		sink.Event(m.place(), m.event)
	}
}

func (m message) place() revocation.Place {
	return revocation.Place{Position: m.position, Stored: m.stored.UTC().Round(0), AsOf: m.stored}
}
