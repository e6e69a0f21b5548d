package chain

import (
	"fmt"
	"time"
)

// Head is what is known of the ledger. It is to be asked for after the checkpoints, and before the events.
type Head struct {
	Made        time.Time
	First, Last uint64
}

// Walk holds the events of a ledger against a trail. It isn't safe for concurrent use.
type Walk struct {
	trail  *Trail
	head   Head
	hasher Hasher
	walks  []*chainWalk
	report Report
	// last is the last event, and end up to where the newest chain of this ledger goes. told is behind which position checkpoints tell of events.
	last, end, told uint64
}

// Walk begins with the ledger. Give Entry all its events from Begin on, in order, and then ask for the Report.
func (t *Trail) Walk(head Head) *Walk {
	w := &Walk{trail: t, head: head, told: t.told(head.Made)}
	for i := 0; i < len(t.good); {
		c := t.good[i]
		n := 1
		for i+n < len(t.good) && t.good[i+n].Chain == c.Chain {
			n++
		}
		if part := t.good[i : i+n]; c.Ledger.Equal(head.Made) {
			w.walks = append(w.walks, newChainWalk(w, part))
			w.end = part[n-1].Position
		} else {
			w.report.Elsewhere += part[n-1].Events - (c.Events - c.count())
		}
		i += n
	}
	return w
}

// Entry takes the next event of the ledger. It returns ErrOrder for one that doesn't lie behind the one before it.
func (w *Walk) Entry(e Entry) error {
	if e.Position <= w.last {
		return fmt.Errorf("%w: %d behind %d", ErrOrder, e.Position, w.last)
	}
	w.last = e.Position
	if e.Position <= w.told {
		w.front(e)
		return nil
	}
	leaf := w.hasher.Leaf(e)
	sound := len(w.walks) > 0
	for _, c := range w.walks {
		sound = c.entry(e.Position, leaf) && sound
	}
	switch {
	case e.Position > w.end:
		w.report.Unsigned++
	case sound:
		w.report.Events++
	}
	return nil
}

// front takes an event that lies before all that the checkpoints tell of. A chain begins with the ledger's first position, and retention only removes: what lies before the first position of each was
// added. What lies behind one was told of by a checkpoint that isn't there any more, or doesn't count.
func (w *Walk) front(e Entry) {
	first := w.walks[0].points[0] // there is one, or nothing was told of
	for _, c := range w.walks {
		if c.points[0].First < first.First {
			first = c.points[0]
		}
	}
	if w.trail.whole && e.Position < first.First {
		w.trail.found.add(Finding{Kind: KindAdded, Position: e.Position, Checkpoint: first.Number, Expected: fmt.Sprintf("a ledger that begins at %d or behind it", first.First), Found: w.hasher.Leaf(e).Digest().String()})
	}
}

// Report ends the walk.
func (w *Walk) Report() Report {
	for _, c := range w.walks {
		c.finish()
	}
	t, r := w.trail, w.report
	if n := len(t.good); n > 0 {
		last := t.good[n-1]
		switch {
		case !last.Ledger.Equal(w.head.Made):
			t.found.add(Finding{Kind: KindReplaced, Position: w.head.First, Checkpoint: last.Number, Expected: "the ledger made at " + stamp(last.Ledger), Found: "one made at " + stamp(w.head.Made)})
		case last.Position > w.head.Last:
			t.found.add(Finding{Kind: KindCut, Position: w.head.Last + 1, Checkpoint: last.Number, Expected: fmt.Sprintf("a ledger up to position %d or beyond", last.Position), Found: fmt.Sprintf("one up to %d", w.head.Last)})
		}
		r.First, r.Last, r.LastTime, r.Position = t.good[0].Number, last.Number, last.Time, last.Position
	}
	r.Checkpoints, r.Keys = uint64(len(t.good)), t.keys
	r.Broken, r.Doubts, r.Findings = t.found.broken, t.found.doubts, t.found.sorted()
	return r
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// chainWalk holds events against one chain.
type chainWalk struct {
	walk *Walk
	// points are the chain's checkpoints. keep is for how long the events of each are kept, by it and all later ones; 0 is for ever.
	points []Checkpoint
	keep   []time.Duration
	// at is the checkpoint that is looked at, listed its list, and ahead whether listed stands before an event that hasn't been met.
	at     int
	listed *leafReader
	ahead  bool
	// hash is the running hash, if known; told is whether something was found in this checkpoint, which makes the hash another one.
	hash        Hash
	known, told bool
	// met is whether an event was met: those before it may have been forgotten.
	met bool
}

func newChainWalk(w *Walk, points []Checkpoint) *chainWalk {
	c := &chainWalk{walk: w, points: points, keep: make([]time.Duration, len(points))}
	least := time.Duration(0)
	for i := len(points) - 1; i >= 0; i-- {
		if kept := time.Duration(points[i].RetentionMS) * time.Millisecond; kept > 0 && (least == 0 || kept < least) {
			least = kept
		}
		c.keep[i] = least
	}
	if first := points[0]; first.Cause != "" {
		c.hash, c.known = genesis(first.Chain, first.Ledger, first.First), true
	}
	c.enter()
	return c
}

// enter begins with the checkpoint at at.
func (c *chainWalk) enter() {
	c.told = false
	if c.at < len(c.points) {
		c.listed = c.points[c.at].leaves()
		c.ahead = c.listed.next()
	}
}

// leave ends the checkpoint at at: what it lists and wasn't met isn't there.
func (c *chainWalk) leave() {
	for ; c.ahead; c.ahead = c.listed.next() {
		c.missing()
	}
	point := c.points[c.at]
	want, begin := point.hash(), point.After+1
	if c.at > 0 {
		// Of what the checkpoints between the two have listed, this hash alone tells, whatever else was found behind it.
		begin = min(begin, c.points[c.at-1].Position+1)
	}
	if c.known && (!c.told || begin <= point.After) && c.hash != want {
		c.walk.trail.found.add(Finding{Kind: KindHash, Position: begin, Until: point.Position, Checkpoint: point.Number, Expected: want.String(), Found: c.hash.String()})
	}
	c.hash, c.known = want, true
	c.at++
	c.enter()
}

// entry takes an event. It reports whether it is as it was hashed.
func (c *chainWalk) entry(position uint64, leaf Hash) bool {
	for c.at < len(c.points) && position > c.points[c.at].Position {
		c.leave()
	}
	if c.at == len(c.points) || position < c.points[0].First {
		return true // no checkpoint of this chain tells of it
	}
	point := c.points[c.at]
	sound := true
	if position > point.After {
		for ; c.ahead && c.listed.position < position; c.ahead = c.listed.next() {
			c.missing()
		}
		switch {
		case !c.ahead || c.listed.position > position:
			c.tell(Finding{Kind: KindAdded, Position: position, Expected: "no event", Found: leaf.Digest().String()})
			sound = false
		case c.listed.digest != leaf.Digest():
			c.tell(Finding{Kind: KindChanged, Position: position, Expected: c.listed.digest.String(), Found: leaf.Digest().String()})
			sound = false
			c.ahead = c.listed.next()
		default:
			c.ahead = c.listed.next()
		}
	}
	c.met = true
	c.hash = step(c.hash, leaf)
	return sound
}

// clockSlack is by how much the clocks of the ledger and of who verifies may differ.
const clockSlack = 5 * time.Minute

// missing takes the event that the list stands before, which isn't there.
func (c *chainWalk) missing() {
	point, keep := c.points[c.at], c.keep[c.at]
	position, want := c.listed.position, c.listed.digest.String()
	due := keep > 0 && c.walk.trail.now.Sub(point.Oldest)+clockSlack >= keep
	switch {
	case c.met:
		c.tell(Finding{Kind: KindRemoved, Position: position, Expected: want, Found: "nothing"})
	case due:
		c.walk.report.Forgotten++
		c.known = false
	case position < c.walk.head.First:
		c.tell(Finding{Kind: KindForgotten, Position: position, Expected: want, Found: fmt.Sprintf("a ledger that begins at %d", c.walk.head.First)})
	default:
		c.tell(Finding{Kind: KindRemoved, Position: position, Expected: want, Found: "nothing"})
	}
}

func (c *chainWalk) tell(f Finding) {
	f.Checkpoint = c.points[c.at].Number
	c.told = true
	c.walk.trail.found.add(f)
}

// finish ends what no event has ended.
func (c *chainWalk) finish() {
	for c.at < len(c.points) {
		c.leave()
	}
}
