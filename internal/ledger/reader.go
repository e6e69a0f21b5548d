package ledger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
)

// Reader reads one stream. It is safe for concurrent use.
type Reader struct {
	js     jetstream.JetStream
	stream string
	// clock is that of the last answer of Head.
	clock atomic.Pointer[Clock]
}

// NewReader returns a reader of the named stream.
func NewReader(js jetstream.JetStream, stream string) *Reader { return &Reader{js: js, stream: stream} }

// Range says what to read.
type Range struct {
	// Topics are wildcards, such as events.TenantTopics; at least one, or nothing is read: a range without any would be everybody's.
	Topics []string
	// After starts behind a position, Since at a time; with both, whichever is later. Both zero start at the beginning.
	After uint64
	Since time.Time
	// Before ends in front of a position, Until in front of a time; with both, whichever is earlier. Zero ends at the head.
	Before uint64
	Until  time.Time
	// New starts behind the head: only what comes from now on. It excludes After and Since.
	New bool
	// Follow goes on behind the head until ctx ends.
	Follow bool
	// CaughtUp, if it isn't nil, is called by a following reading each time that nothing of the range is pending: at its start, or behind a message.
	CaughtUp func()
	// Raw leaves out the decoding of events: entries then have neither Event nor Err.
	Raw bool
	// Silence, if it isn't zero, ends a following reading with ErrSilent after so long without a message; idle is called at its start only. It is for Topics with the beat: silence
	// there is a reading that is stuck, or a ledger that nobody writes to.
	Silence time.Duration
}

// Entry is one message of the ledger.
type Entry struct {
	Position uint64
	// Stored is when the stream stored it, by the stream's clock.
	Stored time.Time
	// Topic and Header are those that it was published with.
	Topic  string
	Header nats.Header
	// Beat says that the message is a beat, which has no event and no error.
	Beat bool
	// Event is nil if the message holds none that this version knows; Err says why.
	Event events.Event
	Err   error
	// Pending is how many messages of the range lay behind this one when it was sent to us.
	Pending uint64
	// Data is the message as it lies in the stream.
	Data []byte
}

// ErrStop ends a reading without an error when fn returns it.
var ErrStop = errors.New("stop reading")

// ErrSilent is returned by a reading with a bound for silence.
var ErrSilent = errors.New("no message from the stream, not even a beat")

// Read calls fn for each message of the range, in order. It returns fn's error, or nil for ErrStop and at the end of the range, and the cause
// of ctx's end. idle, if not nil, is called by a following reading: once at its start, from when on nothing of the range is missed, and then
// each 15 s without a message, so that a writer can tell whether its reader is still there.
func (r *Reader) Read(ctx context.Context, q Range, fn func(Entry) error, idle func() error) error {
	if len(q.Topics) == 0 {
		return errors.New("read a range: it has no topics")
	}
	if q.Before > 0 && q.Before <= q.After+1 {
		return nil // nothing lies between the two
	}
	if idle == nil {
		idle = func() error { return nil }
	}
	cfg := jetstream.ConsumerConfig{
		FilterSubjects: q.Topics, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	}
	switch {
	case q.New:
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	case q.After > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, q.After+1
	case !q.Since.IsZero():
		since := startTime(q.Since)
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	default:
		cfg.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	cons, err := r.consumer(ctx, q, cfg)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", r.stream, err)
	}
	defer func() { r.forget(ctx, cons.CachedInfo().Name) }()
	if cons.CachedInfo().NumPending == 0 && !q.Follow {
		return nil
	}
	messages, err := newPuller(r.js.Conn(), jetstream.DefaultAPIPrefix+"CONSUMER.MSG.NEXT."+r.stream+"."+cons.CachedInfo().Name, q.readAhead())
	if err != nil {
		return fmt.Errorf("read stream %s: %w", r.stream, err)
	}
	defer messages.stop()
	if !q.Follow || q.CaughtUp == nil {
		q.CaughtUp = func() {}
	}
	if q.Follow {
		if cons.CachedInfo().NumPending == 0 {
			q.CaughtUp()
		}
		if err := idle(); err != nil {
			return err
		}
	}
	return r.deliver(ctx, cons, messages, q, fn, idle)
}

func (r *Reader) deliver(ctx context.Context, cons jetstream.Consumer, messages *puller, q Range, fn func(Entry) error, idle func() error) error {
	count, patience, quiet := uint64(0), 15*time.Second, 0
	switch {
	case q.Silence > 0:
		patience = q.Silence
	case !q.Follow:
		patience = 5 * time.Second
	}
	for {
		msg, err := messages.next(ctx, patience)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errQuiet) && !q.Follow:
			quiet++
			if over, err := r.drained(ctx, cons); over || err != nil {
				return err
			}
			if quiet == maxQuiet {
				return fmt.Errorf("read stream %s: nothing has come for %v, though the server has more: read again", r.stream, maxQuiet*patience)
			}
			continue
		case errors.Is(err, errQuiet) && q.Silence > 0:
			return fmt.Errorf("read stream %s: %w for %v", r.stream, ErrSilent, patience)
		case errors.Is(err, errQuiet):
			if err := idle(); err != nil {
				return err
			}
			continue
		case err != nil:
			return fmt.Errorf("read stream %s: %w", r.stream, err)
		}
		quiet = 0
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("metadata of a message: %w", err)
		}
		if count++; meta.Sequence.Consumer != count {
			return fmt.Errorf("read stream %s: a message was lost on the way: read again", r.stream)
		}
		if q.over(meta) {
			return nil
		}
		// A consumer starts at a position or at a time, not at both.
		if !meta.Timestamp.Before(q.Since) && covered(q.Topics, msg.Subject) {
			entry := Entry{Position: meta.Sequence.Stream, Stored: meta.Timestamp, Topic: msg.Subject, Header: msg.Header, Data: msg.Data, Pending: meta.NumPending}
			if entry.Beat = msg.Subject == events.TopicBeat; !entry.Beat && !q.Raw {
				entry.Event, entry.Err = events.DecodeMessage(msg.Subject, msg.Data)
			}
			if err := fn(entry); errors.Is(err, ErrStop) {
				return nil
			} else if err != nil {
				return err
			}
		}
		if meta.NumPending > 0 {
			continue
		}
		if q.CaughtUp(); !q.Follow {
			return nil
		}
	}
}

// startTime returns the time that a server is asked for: since, or the nearest that it can count. It counts nanoseconds in 64 bits, by which the year 1600 lies behind 2100.
func startTime(since time.Time) time.Time {
	first, last := time.Unix(0, 0), time.Unix(0, math.MaxInt64)
	switch {
	case since.Before(first):
		return first
	case since.After(last):
		return last
	}
	return since
}

// maxQuiet is how often nothing may come of a range that isn't over.
const maxQuiet = 4

// drained reports whether the server has nothing left to send of a range: what was pending has expired meanwhile.
func (r *Reader) drained(ctx context.Context, cons jetstream.Consumer) (bool, error) {
	info, err := cons.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("read stream %s: %w", r.stream, err)
	}
	return info.NumPending == 0, nil
}

// over reports whether a message, and so each one behind it, lies behind the range.
func (q Range) over(m *nats.MsgMetadata) bool {
	return q.Before > 0 && m.Sequence.Stream >= q.Before || !q.Until.IsZero() && !m.Timestamp.Before(q.Until)
}

// readAhead is how many messages are sent to us before they are asked for.
func (q Range) readAhead() int {
	if q.Before > 0 {
		return int(min(readAhead, q.Before-q.After))
	}
	return readAhead
}

// many messages of a range, of which there are a third or more in the stream, are read faster with the others than without: the server looks at each message's topic all the same, and
// wildcards cost it more than the message does.
const many, third = 20_000, 3

// consumer makes a consumer of the range, or of more than that.
func (r *Reader) consumer(ctx context.Context, q Range, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	if slices.Contains(q.Topics, events.TopicAll) && slices.Contains(q.Topics, events.TopicBeat) {
		cfg.FilterSubjects = nil // which is all that there is
		return r.js.CreateConsumer(ctx, r.stream, cfg)
	}
	cons, err := r.js.CreateConsumer(ctx, r.stream, cfg)
	if err != nil || cons.CachedInfo().NumPending < many || q.Follow {
		return cons, err
	}
	cfg.FilterSubjects = nil
	all, err := r.js.CreateConsumer(ctx, r.stream, cfg)
	switch {
	case err != nil:
		return cons, nil //nolint:nilerr // it does too
	case all.CachedInfo().NumPending > third*cons.CachedInfo().NumPending:
		r.forget(ctx, all.CachedInfo().Name)
		return cons, nil
	}
	r.forget(ctx, cons.CachedInfo().Name)
	return all, nil
}

// covered reports whether one of the topics, which may hold wildcards of one part, is a subject's.
func covered(topics []string, subject string) bool {
	for _, topic := range topics {
		if covers(topic, subject) {
			return true
		}
	}
	return false
}

// covers is asked for each message, so it cuts nothing.
func covers(topic, subject string) bool {
	at := 0
	for i := range len(topic) {
		if topic[i] == '*' && (i == 0 || topic[i-1] == '.') && (i+1 == len(topic) || topic[i+1] == '.') {
			for at < len(subject) && subject[at] != '.' {
				at++
			}
			continue
		}
		if at == len(subject) || subject[at] != topic[i] {
			return false
		}
		at++
	}
	return at == len(subject)
}

func (r *Reader) forget(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.js.DeleteConsumer(ctx, r.stream, name)
}
