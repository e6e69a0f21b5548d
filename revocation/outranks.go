package revocation

import (
	"cmp"
	"slices"

	"github.com/curfewhq/curfew/events"
)

// Outranks reports whether a replica that knows of two events, each of which ends s, names e for it and not other, which lies before e in the stream: as Check asks, by the session's own name
// before its user, device, client and tenant; of those by name the gravest, of cutoffs of one scope the latest and then the gravest, and of equals the first. What it says of an event that doesn't
// end s ([Ends]) means nothing.
func Outranks(e, other events.Event, s Session) bool {
	return rankOf(e, s).compare(rankOf(other, s)) < 0
}

// rank is where an event stands among those that end a session: the lower the part of the session, and then the later and the graver, the sooner it is named.
type rank struct {
	part int
	cutoff
}

func rankOf(e events.Event, s Session) rank {
	grave := causeOf(e.Meta().Reason)
	switch e := e.(type) {
	case *events.SessionRevoked:
		return rank{0, cutoff{cause: grave | explicit}}
	case *events.UserLoggedOutEverywhere:
		if s.ID != "" && slices.Contains(e.KnownSessions, s.ID) {
			return rank{0, cutoff{cause: grave}}
		}
	}
	at, _ := events.Cutoff(e)
	return rank{slices.Index(events.Kinds(), e.Kind()), cutoff{at: millis(at), cause: grave}}
}

func (r rank) compare(other rank) int {
	return cmp.Or(cmp.Compare(r.part, other.part), r.cutoff.compare(other.cutoff))
}
