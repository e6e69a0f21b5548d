package revocation

import (
	"slices"
	"strings"
)

// cutoff is one scope-wide revocation: sessions with auth time ≤ at are over, but for those in except.
type cutoff struct {
	// at is in Unix milliseconds.
	at int64
	// except is sorted, without repetition.
	except []string
	by     ending
}

// cutoffs are the cutoffs of one key that aren't dominated, latest first. The slice is never changed in place, so that a reader
// may go on with the one that it has.
type cutoffs []cutoff

// dominates reports whether c ends, for at least as long, every session that d ends.
func (c cutoff) dominates(d cutoff) bool {
	return c.at >= d.at && c.by.expires >= d.by.expires && subset(c.except, d.except)
}

// subset reports whether sorted a lies within sorted b.
func subset(a, b []string) bool {
	if len(a) > len(b) {
		return false
	}
	for _, id := range a {
		if _, found := slices.BinarySearch(b, id); !found {
			return false
		}
	}
	return true
}

// with returns the cutoffs joined with c. Two cutoffs that dominate each other are equal but for the event that they come from, and
// the earlier event stays.
func (cs cutoffs) with(c cutoff) cutoffs {
	kept := make(cutoffs, 0, len(cs)+1)
	for _, d := range cs {
		both := c.dominates(d) && d.dominates(c)
		switch {
		case both && c.by.before(d.by), !both && c.dominates(d):
			// d goes.
		case d.dominates(c):
			return cs
		default:
			kept = append(kept, d)
		}
	}
	kept = append(kept, c)
	slices.SortFunc(kept, compareCutoffs)
	return kept
}

// compareCutoffs puts later cutoffs first; the rest only makes the order total, so that digests agree.
func compareCutoffs(a, b cutoff) int {
	if a.at != b.at {
		if a.at > b.at {
			return -1
		}
		return 1
	}
	if c := slices.Compare(a.except, b.except); c != 0 {
		return c
	}
	if a.by.expires != b.by.expires {
		if a.by.expires > b.by.expires {
			return -1
		}
		return 1
	}
	return strings.Compare(a.by.event, b.by.event)
}

// ends returns the first cutoff that ends a session with this auth time (Unix milliseconds).
func (cs cutoffs) ends(sid string, authTime int64) (ending, bool) {
	for _, c := range cs {
		if c.at < authTime {
			break
		}
		if _, kept := slices.BinarySearch(c.except, sid); !kept || sid == "" {
			return c.by, true
		}
	}
	return ending{}, false
}
