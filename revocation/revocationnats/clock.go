package revocationnats

import "time"

// clock pairs a reading of our clock with a later or equal moment of the stream's.
type clock struct {
	ours, streams time.Time
}

// asOf returns a reading of our clock at which t, by the stream's clock, had come at the earliest: streams was read after ours, so t lies
// at least t − streams after ours. It may lie in the future, if the stream's clock was set since, or by one of its two readings, if our
// machine has slept; the replica makes the best of that.
func (c clock) asOf(t time.Time) time.Time { return c.ours.Add(t.Sub(c.streams)) }
