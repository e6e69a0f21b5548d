// Package clocktest makes readings of clocks that have drifted apart, for tests: what a machine's sleep does, or a clock that is set back. It promises to
// fail a test where it can't, and not that the readings stay apart in what is computed from them by other means than the time package's.
//
//	proof := clocktest.Slept(t, time.Now(), -time.Hour)
package clocktest
