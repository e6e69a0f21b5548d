package revocationnats

import "time"

// clock pairs a reading of our clock with a later or equal moment of the stream's.
type clock struct {
	ours, streams time.Time
}

// asOf returns a reading of our clock at which t, by the stream's clock, had come at the earliest: streams was read after ours, so t lies
// at least t − streams after ours. A stream's clock that was set since makes it wrong until the next reading, so it is bounded by now.
//
// "By now" means by both of our clocks. While the machine sleeps the monotonic one stands still: a beat that was stored in the middle of
// an hour's sleep then lies in the future by it, and half an hour ago by the wall clock. The older age holds.
func (c clock) asOf(t, now time.Time) time.Time {
	at := c.ours.Add(t.Sub(c.streams))
	return now.Add(-max(now.Sub(at), now.Round(0).Sub(at.Round(0)), 0))
}
