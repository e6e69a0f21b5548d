package revocation

import "sync/atomic"

// tally counts checks by state. It is spread over cache lines, so that processors which check different sessions don't wait for each other: which
// line is counted on follows from the session.
type tally [32]struct {
	byState [3]atomic.Uint64
	_       [64 - 3*8]byte
}

// add counts one answer. Any number says which line.
func (t *tally) add(line uint64, s State) { t[line%uint64(len(t))].byState[s].Add(1) }

// sum returns how often s was the answer.
func (t *tally) sum(s State) (n uint64) {
	for i := range t {
		n += t[i].byState[s].Load()
	}
	return n
}
