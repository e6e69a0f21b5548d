package revocationnats

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// place is where a message lies in the stream, and when it was stored there, by the stream's clock. Position 0 means no message.
//
// A stream that is put back to an earlier state (from a backup, or by a power failure) keeps its name and the time when it was made, and
// may have grown past where it was by the time that anybody looks: neither its identity nor its length tells. But it gives the positions
// out anew, and so another time of storing to each.
type place struct {
	position uint64
	stored   time.Time
}

// mark is how far a feed has read an incarnation of the stream, to be compared with what the stream holds there now.
type mark struct {
	// stream is the incarnation, as in Head.
	stream string
	// from is where the reading began.
	from uint64
	// last is the last message that was delivered. event is the last but beats: those are removed after a minute, and then tell nothing.
	last, event place
}

// following notes that an incarnation is read after a position.
func (f *Feed) following(stream string, after uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mark.stream != stream {
		f.mark = mark{stream: stream, from: after}
	}
	f.mark.from = min(f.mark.from, after)
}

// delivered notes the last message of an incarnation.
func (f *Feed) delivered(stream string, p place, beat bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mark.stream != stream {
		return
	}
	f.mark.last = p
	if !beat {
		f.mark.event = p
	}
}

// holding is what the leader says of what the stream holds.
type holding struct {
	// first is the first position.
	first uint64
	// now is the stream's clock, and retention how long it keeps messages; 0 means for ever.
	now       time.Time
	retention time.Duration
}

// expired reports whether retention accounts for a message's absence.
func (h holding) expired(p place) bool {
	// Clocks of leaders differ a little. To take what was removed within the slack for due costs nothing: nobody needs it any longer.
	const slack = 5 * time.Second
	return h.retention > 0 && h.now.Sub(p.stored)+slack >= h.retention
}

// identify returns the incarnation of the stream that the server knows by id, and up to where it is known to hold what was read of it. If
// nothing was, there is nothing to compare, and whoever follows knows best.
func (f *Feed) identify(ctx context.Context, id string, h holding) (stream string, upTo uint64, err error) {
	f.mu.Lock()
	m, epoch := f.mark, f.epoch
	f.mu.Unlock()
	if stream = incarnation(id, epoch); m.stream != stream {
		return stream, math.MaxUint64, nil
	}
	upTo, same, err := f.compare(ctx, m, h)
	if err != nil || same {
		return stream, upTo, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch == epoch { // or another request has found out the same
		f.epoch++
	}
	return incarnation(id, f.epoch), math.MaxUint64, nil
}

// incarnation names a stream that was found to be put back so many times.
func incarnation(id string, epoch uint64) string {
	if epoch == 0 {
		return id
	}
	return fmt.Sprintf("%s+%d", id, epoch)
}

// compare asks the stream's leader for the messages of m, and reports whether the stream is still the one that was read, and up to where.
//
// If the last message is still there, so is what lies before it. If it was a beat and is gone, the last event tells, and what was read after
// it were beats alone. They must be read again, or this would be missed:
//
//  1. we read an event at 5, and beats at 6 to 20; 2. the stream is put back to 10, and an event is stored at 12; 3. it grows past 20,
//     and whatever is at 20 is removed; 4. we find the event at 5 as it was, and go on after 20.
//
// An event that is gone without being due was removed by hand, or another message lay there. That can't be told, so the stream counts as put
// back: to read it whole is safe, and takes seconds. So it does if the stream begins behind the last event, though what came later is there:
//
//  1. we read an event; 2. an operator purges the stream; 3. beats go on, and we read them; 4. everything looks as it should, but whoever
//     begins now will never hear of the event.
//
// An event that was due says nothing, and nothing is known but where the reading began.
func (f *Feed) compare(ctx context.Context, m mark, h holding) (upTo uint64, same bool, err error) {
	if m.event.position != 0 && m.event.position < h.first && !h.expired(m.event) {
		return 0, false, nil
	}
	for _, p := range []place{m.last, m.event} {
		if p.position == 0 {
			continue
		}
		found, err := f.message(ctx, map[string]any{"seq": p.position})
		switch {
		case err != nil:
			return 0, false, err
		case found.position != 0:
			return p.position, found.stored.Equal(p.stored), nil
		case p == m.event && !h.expired(p):
			return 0, false, nil
		}
	}
	return m.from, true, nil
}

// holds implements Head.Holds. What it has vouched for is remembered like what was delivered, so that a stream that is put back later is noticed also
// before anything of it was delivered.
func (f *Feed) holds(ctx context.Context, stream string, p revocation.Place) (bool, error) {
	found, err := insist(ctx, func(ctx context.Context) (place, error) { return f.message(ctx, map[string]any{"seq": p.Position}) })
	if err != nil || found.position == 0 || !found.stored.Equal(p.Stored) {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mark = mark{stream: stream, from: p.Position, event: found}
	return true, nil
}

// HashKeyMetadata is the member of the stream's metadata that holds the deployment's key of fingerprints, in 32 hexadecimal digits.
const HashKeyMetadata = "curfew-hash-key"

// hashKey returns the key that the stream carries; zero if it carries none, or something else.
func hashKey(metadata map[string]string) (key [16]byte) {
	b, err := hex.DecodeString(metadata[HashKeyMetadata])
	if err == nil && len(b) == len(key) {
		copy(key[:], b)
	}
	return key
}
