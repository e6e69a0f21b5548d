package receipts

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/replicas"
)

// Type is what receipts are signed as.
const Type = "curfew-receipt"

const (
	version = 1
	// maxNamed is how many replicas and gateways a receipt names; the others are counted.
	maxNamed = 1000
)

// Aim is what is waited for.
type Aim string

// The aims. Each holds the one before it.
const (
	// Applied: every replica has applied the event.
	Applied Aim = "applied"
	// Shown: and every tab that was told has acknowledged the notice, or gone away.
	Shown Aim = "shown"
)

// Event is the event that a receipt is of.
type Event struct {
	ID       string
	Tenant   string
	Position uint64
	// Asked is when its publishing began, and Stored when the stream acknowledged it; both are zero if that isn't known, and then nothing tells how long anything took.
	Asked, Stored time.Time
}

// Receipt says whom an event has reached. See the package for what that means.
type Receipt struct {
	V      int    `json:"v"`
	Event  string `json:"event"`
	Tenant string `json:"tenant"`
	// Position is where the event lies in the ledger, and Stream which incarnation of it that is.
	Position uint64 `json:"position"`
	Stream   string `json:"stream"`
	// Made is when this was found out.
	Made time.Time `json:"made_at"`
	// Aim is what was waited for, and Complete whether it was reached. Certain is whether all were asked that there are.
	Aim      Aim      `json:"aim"`
	Complete bool     `json:"complete"`
	Certain  bool     `json:"certain"`
	Replicas Replicas `json:"replicas"`
	// Tabs is nil where Aim is Applied.
	Tabs *Tabs `json:"tabs,omitempty"`
}

// State is what a replica or a gateway has come to.
type State string

// The states.
const (
	// StateApplied: a replica has applied the event. StateLate: it hasn't said so, and its lease holds. StateLeaseEnded: nothing was heard of it for so long that it fails closed.
	StateApplied    State = "applied"
	StateLate       State = "late"
	StateLeaseEnded State = "lease_ended"
	// StateTold: a gateway has told its tabs. StateBehind: it hasn't yet. StateForgotten: it doesn't know any more. StateMissing: it hasn't answered.
	StateTold      State = "told"
	StateBehind    State = "behind"
	StateForgotten State = "forgotten"
	StateMissing   State = "missing"
)

// Replicas are those that there are.
type Replicas struct {
	// Expected counts those with a lease, and Applied those of them that have applied the event.
	Expected int `json:"expected"`
	Applied  int `json:"applied"`
	// Named holds those that have applied it in the order in which that was heard, after those that haven't. More counts those for which there was no room.
	Named []Replica `json:"named"`
	More  int       `json:"more,omitempty"`
}

// Replica is one of them.
type Replica struct {
	Name    string `json:"name"`
	Group   string `json:"group,omitempty"`
	Version string `json:"version,omitempty"`
	State   State  `json:"state"`
	// AfterMS is how long after the stream's acknowledgement it was heard to have applied the event; nil if it hasn't, or nobody waited from then on.
	AfterMS *float64 `json:"after_ms,omitempty"`
	// Position and Heard are its last report's, if it hasn't applied the event.
	Position uint64    `json:"position,omitempty"`
	Heard    time.Time `json:"heard_at,omitzero"`
	// FailsClosedSince is StateLeaseEnded's.
	FailsClosedSince time.Time `json:"fails_closed_since,omitzero"`
}

// Tabs are the tabs that gateways have told.
type Tabs struct {
	// Told counts them; SignedOut, Already and Ignored have acknowledged the notice with that outcome, Gone have gone away without, and Waiting may still answer.
	Told      int `json:"told"`
	SignedOut int `json:"signed_out"`
	Already   int `json:"already"`
	Ignored   int `json:"ignored"`
	Gone      int `json:"gone"`
	Waiting   int `json:"waiting"`
	// Gateways are those that hold conns.
	Gateways []Gateway `json:"gateways"`
}

// Gateway is one of them.
type Gateway struct {
	Name  string `json:"name"`
	State State  `json:"state"`
}

func replicasOf(p replicas.Progress, timed bool) Replicas {
	r := Replicas{Expected: len(p.Applied) + len(p.Late), Applied: len(p.Applied), Named: make([]Replica, 0, len(p.Late)+len(p.Ended)+len(p.Applied))}
	for _, m := range p.Late {
		r.Named = append(r.Named, Replica{Name: m.Name, Group: m.Group, Version: m.Version, State: StateLate, Position: m.Position, Heard: m.Heard.UTC()})
	}
	for _, m := range p.Ended {
		r.Named = append(r.Named, Replica{
			Name: m.Name, Group: m.Group, Version: m.Version, State: StateLeaseEnded, Position: m.Position, Heard: m.Heard.UTC(), FailsClosedSince: m.FailsClosedSince().UTC(),
		})
	}
	after := make([]float64, len(p.Applied))
	for i, a := range p.Applied {
		one := Replica{Name: a.Name, Group: a.Group, Version: a.Version, State: StateApplied}
		if timed {
			after[i] = float64(max(a.After, 0).Microseconds()) / 1000
			one.AfterMS = &after[i]
		}
		r.Named = append(r.Named, one)
	}
	if n := len(r.Named); n > maxNamed {
		// The slowest is the last.
		r.More, r.Named[maxNamed-1] = n-maxNamed, r.Named[n-1]
		r.Named = r.Named[:maxNamed]
	}
	return r
}

// tabsOf adds up what gateways have said, and reports whether there is nothing more to wait for.
func tabsOf(a gateways.ShownAnswer) (t Tabs, over bool) {
	t.Gateways, over = []Gateway{}, len(a.Missing) == 0
	for _, g := range a.Gateways {
		state := StateTold
		switch {
		case g.Behind:
			state, over = StateBehind, false
		case g.Forgotten:
			state, over = StateForgotten, false
		}
		t.Told, t.SignedOut, t.Already, t.Ignored, t.Gone = t.Told+g.Told, t.SignedOut+g.SignedOut, t.Already+g.Already, t.Ignored+g.Ignored, t.Gone+g.Gone
		t.Waiting += g.Waiting()
		t.Gateways = append(t.Gateways, Gateway{Name: g.Name, State: state})
	}
	for _, m := range a.Missing {
		t.Gateways = append(t.Gateways, Gateway{Name: m.Name, State: StateMissing})
	}
	t.Gateways = t.Gateways[:min(len(t.Gateways), maxNamed)]
	return t, over && t.Waiting == 0
}

// Nameless returns the receipt with numbers in place of names, which tell of machines and of what else the deployment runs: those are for operators. r stays as it is.
func (r Receipt) Nameless() Receipt {
	number := func(i int) string { return strconv.Itoa(i + 1) }
	r.Replicas.Named = slices.Clone(r.Replicas.Named)
	for i := range r.Replicas.Named {
		one := &r.Replicas.Named[i]
		one.Name, one.Group, one.Version = number(i), "", ""
	}
	if r.Tabs != nil {
		tabs := *r.Tabs
		tabs.Gateways = slices.Clone(tabs.Gateways)
		for i := range tabs.Gateways {
			tabs.Gateways[i].Name = number(i)
		}
		r.Tabs = &tabs
	}
	return r
}

// Slowest returns the replica of which it was heard last that it has applied the event, of those that are named.
func (r Receipt) Slowest() (slowest Replica, ok bool) {
	for _, one := range r.Replicas.Named {
		if one.AfterMS != nil && (!ok || cmp.Less(*slowest.AfterMS, *one.AfterMS)) {
			slowest, ok = one, true
		}
	}
	return slowest, ok
}

// SaysLess reports whether the receipt says less than another of the same event: who has waited for more, or longer, or from the beginning on, has found out more. What was proved isn't given up for
// what somebody finds who asks in a hurry. Who wasn't certain of everybody has proved it of those that are named alone, and gives way to who is, unless that one knows of fewer tabs what became of them.
func (r Receipt) SaysLess(than Receipt) bool { return slices.Compare(r.says(), than.says()) < 0 }

// says returns how much the receipt says, what matters most first. As it is made of one receipt alone, no two processes can replace one another's for ever.
func (r Receipt) says() []int {
	_, timed := r.Slowest()
	proved, answered := r.Complete && r.Certain, 0
	if t := r.Tabs; t != nil {
		answered = t.SignedOut + t.Already + t.Ignored + t.Gone
	}
	one := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return []int{
		one(r.Replicas.Expected > 0), one(r.Aim == Shown), one(proved), one(proved && timed), answered, one(r.Certain), r.Replicas.Applied, one(r.Complete), one(timed),
	}
}
