package revocationnats

import "time"

// clock pairs a reading of our clock with a later or equal moment of the stream's.
type clock struct {
	ours, streams time.Time
}

// asOf returns a reading of our clock at which t, by the stream's clock, had come at the earliest: streams was read after ours, so t lies
// at least t − streams after ours. It may lie in the future, if the stream's clock was set since (see ahead), or by one of its two readings, if
// our machine has slept; the replica makes the best of that.
func (c clock) asOf(t time.Time) time.Time { return c.ours.Add(t.Sub(c.streams)) }

// mostAhead is how far the two clocks may run apart between two requests.
const mostAhead = time.Second

// ahead reports whether a beat was stored in the future, by both of our clocks, so that our clock and the stream's aren't what they were: the stream's was
// set forward, or ours has stood still. The latter is why such a beat mustn't count as if stored just now:
//
//  1. our virtual machine is paused for an hour, and its clocks with it; 2. it goes on, and finds in its socket a beat that was stored half an hour
//     ago; 3. by our clock that is half an hour ahead, and what was stored since then hasn't arrived.
func ahead(asOf, now time.Time) bool {
	return asOf.Sub(now) > mostAhead && asOf.Round(0).Sub(now.Round(0)) > mostAhead
}
