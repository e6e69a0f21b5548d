package exposure

import "github.com/curfewhq/curfew/events"

const (
	// MaxSessions is how many sessions a question may name.
	MaxSessions = 100
	// MaxListed is how many passes an answer lists: the earliest. It counts all.
	MaxListed = 200
	// MaxRouteBytes is how long a route may be.
	MaxRouteBytes = 128
)

// Question asks about sessions of one tenant, which is told beside it.
type Question struct {
	// Position is where the event lies in the ledger, and Event its id: after a ledger was put back another may lie there.
	Position uint64 `json:"position"`
	Event    string `json:"event"`
	// Sessions are at most MaxSessions. Without any it is asked only when the event was applied.
	Sessions []string `json:"sessions"`
	// SinceMS and UntilMS bound the passes that are asked for, both included.
	SinceMS int64 `json:"since_ms"`
	UntilMS int64 `json:"until_ms"`
}

// InForm reports whether a question can be answered.
func (q Question) InForm() bool {
	for _, sid := range q.Sessions {
		if events.IDFault(sid) != "" {
			return false
		}
	}
	return len(q.Sessions) <= MaxSessions && q.Position > 0 && len(q.Event) <= 64 && q.SinceMS >= 0 && q.UntilMS >= q.SinceMS
}

// Answer is what one process knows.
type Answer struct {
	// NowMS is when it answered, and BeganMS since when it records what passes.
	NowMS   int64 `json:"now_ms"`
	BeganMS int64 `json:"began_ms"`
	// Applied is whether its replica has applied the event. AppliedMS is when; 0 where it hasn't, and where that isn't known any more or was before it began.
	Applied   bool  `json:"applied"`
	AppliedMS int64 `json:"applied_ms,omitempty"`
	// WholeSinceMS is from when on it knows every pass of the sessions; what passed before may have been forgotten for newer ones.
	WholeSinceMS int64 `json:"whole_since_ms"`
	// Passes are the earliest MaxListed, in the order of their times; Count counts all.
	Passes []Pass `json:"passes,omitempty"`
	Count  int    `json:"count"`
}

// Pass is one request that was let through.
type Pass struct {
	// Session is which of the question's it belongs to, from 0.
	Session int   `json:"session"`
	AtMS    int64 `json:"at_ms"`
	// Route is what the process calls the route; empty where it has no name, and OtherRoutes for one of too many.
	Route string `json:"route,omitempty"`
	// Undetermined says that it passed by choice, though nobody could tell whether its session was over.
	Undetermined bool `json:"undetermined,omitempty"`
}

// OtherRoutes stands for routes that came when a process had names for as many as it keeps, and for those with names that are too long.
const OtherRoutes = "(other routes)"
