package replicas

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/internal/bus"
)

const (
	// maxReports is how many reports wait to be read. Thousands may come at once when somebody waits.
	maxReports = 16 << 10
	// maxMembers bounds how many replicas are remembered.
	maxMembers = 16 << 10
	// rememberEnded is for how long a replica is named whose lease has run out.
	rememberEnded = time.Hour
	// sweepEvery is how often those are looked for.
	sweepEvery = time.Minute
	// usualLease is for how long somebody has to listen until every replica that may still answer active has been heard, as far as none has a larger budget than is usual.
	usualLease = presence.Interval + 15*time.Second
	// deafAfter is after how long without any report, which our own process's replica sends too, we take it that we couldn't hear: leases that held before begin anew then. After awayAfter we
	// may have missed that somebody came.
	deafAfter = presence.Interval + presence.Interval/2
	awayAfter = 3 * presence.Interval
)

// Member is a replica that was heard.
type Member struct {
	presence.Report
	// Heard is when its last report came, by our clock, or when we could hear again if it held a lease while we couldn't.
	Heard time.Time
	// Ended is whether its lease has run out, while we could hear.
	Ended bool
}

// FailsClosedSince is from when on the replica, if nothing more is heard of it, answers undetermined to whatever it doesn't know to be over: its lease's end.
func (m Member) FailsClosedSince() time.Time { return m.Heard.Add(m.Lease()) }

// Fleet is all replicas that report, as heard by one process. Make it with NewFleet, and close it. Its methods are safe for concurrent use.
type Fleet struct {
	nc *nats.Conn
	// hearing and short hear reports, and short ones.
	hearing *bus.Hearing
	short   *bus.Hearing
	asker   *asker
	done    chan struct{}
	once    sync.Once
	work    sync.WaitGroup
	// heard counts reports, whole and short, and bad those that weren't in form, or for which there was no room.
	heard, bad atomic.Uint64

	mu sync.Mutex
	// members: a replica's id → what was heard last.
	members map[string]*Member
	waits   map[*wait]struct{}
	// since is since when we have heard without a break, and of all, and last is when we heard anybody.
	since, last time.Time
}

// NewFleet listens to what replicas report over nc, which stays the caller's.
func NewFleet(nc *nats.Conn) (*Fleet, error) {
	now := time.Now()
	f := &Fleet{nc: nc, done: make(chan struct{}), members: map[string]*Member{}, waits: map[*wait]struct{}{}, since: now, last: now}
	f.asker = newAsker(nc, f.asked)
	var err error
	if f.hearing, err = bus.Hear(nc, presence.ReportsTopic, maxReports, f.hear); err != nil {
		return nil, fmt.Errorf("replicas: listen for reports: %w", err)
	}
	if f.short, err = bus.Hear(nc, presence.AppliedTopic, maxReports, f.hearShort); err != nil {
		f.hearing.Close()
		return nil, fmt.Errorf("replicas: listen for reports: %w", err)
	}
	f.work.Go(f.forget)
	f.work.Go(func() { f.asker.run(f.done) })
	return f, nil
}

// Close listens no more. Who waits is told what is known. It may be called more than once.
func (f *Fleet) Close() {
	f.once.Do(func() {
		close(f.done)
		f.hearing.Close()
		f.short.Close()
	})
	f.work.Wait()
}

// Heard counts reports, whole and short.
func (f *Fleet) Heard() uint64 { return f.heard.Load() }

// Bad counts reports that weren't in form, or for which there was no room.
func (f *Fleet) Bad() uint64 { return f.bad.Load() }

// Members returns those that were heard in the last hour and haven't left, by group, name and id.
func (f *Fleet) Members() []Member {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]Member, 0, len(f.members))
	for _, m := range f.members {
		all = append(all, f.seenLocked(m))
	}
	slices.SortFunc(all, compareMembers)
	return all
}

func compareMembers(a, b Member) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

// seenLocked returns m as it is.
func (f *Fleet) seenLocked(m *Member) Member {
	seen := *m
	seen.Ended = f.endedLocked(m)
	return seen
}

// endedLocked reports whether m's lease has run out. Only what we could have heard counts: somebody else was heard after its end.
func (f *Fleet) endedLocked(m *Member) bool { return !f.last.Before(m.FailsClosedSince()) }

// certainLocked reports whether every replica that may answer active was heard: we have listened for as long as a lease lasts.
func (f *Fleet) certainLocked(now time.Time) bool {
	longest := usualLease
	for _, m := range f.members {
		longest = max(longest, m.Lease())
	}
	return now.Sub(f.last) < awayAfter && now.Sub(f.since) >= longest
}

// hear takes one report.
func (f *Fleet) hear(msg *nats.Msg) {
	defer f.heard.Add(1)
	r, err := presence.DecodeReport(msg.Data)
	if err != nil {
		f.bad.Add(1)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &Member{Report: r, Heard: f.hearAgainLocked()}
	_, known := f.members[r.ID]
	switch {
	case r.Leaving:
		delete(f.members, r.ID)
	case !known && len(f.members) >= maxMembers && !f.makeRoomLocked():
		// It may be one that matters: from here on we aren't certain who there is.
		f.since = m.Heard
		f.bad.Add(1)
		return
	default:
		f.members[r.ID] = m
	}
	f.passOnLocked(m)
}

// passOnLocked tells whoever waits what was heard.
func (f *Fleet) passOnLocked(m *Member) {
	for w := range f.waits {
		w.hear(m)
	}
}

// hearShort takes a short report, which counts for the lease like a whole one. Of who hasn't sent a whole one, or has left, it tells too little.
func (f *Fleet) hearShort(msg *nats.Msg) {
	defer f.heard.Add(1)
	a, err := presence.DecodeApplied(msg.Data)
	if err != nil {
		f.bad.Add(1)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.hearAgainLocked()
	if m, ok := f.members[a.ID]; ok {
		m.Stream, m.Position, m.Heard = a.Stream, a.Position, now
		f.passOnLocked(m)
	}
}

// hearAgainLocked notes that we hear somebody, now, which it returns. If nobody was heard for a while it was us who couldn't hear: whose lease held before has one from now on.
func (f *Fleet) hearAgainLocked() (now time.Time) {
	now = time.Now()
	gap := now.Sub(f.last)
	if gap >= deafAfter {
		for _, m := range f.members {
			if !f.endedLocked(m) {
				m.Heard = now
			}
		}
	}
	if gap >= awayAfter {
		f.since = now
	}
	f.last = now
	return now
}

// makeRoomLocked forgets those whose lease has run out, and reports whether there were any.
func (f *Fleet) makeRoomLocked() (room bool) {
	for id, m := range f.members {
		if f.endedLocked(m) {
			delete(f.members, id)
			room = true
		}
	}
	return room
}

// forget forgets now and then who hasn't been heard for long.
func (f *Fleet) forget() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.done:
			return
		case now := <-tick.C:
			f.mu.Lock()
			for id, m := range f.members {
				if now.Sub(m.FailsClosedSince()) > rememberEnded {
					delete(f.members, id)
				}
			}
			f.mu.Unlock()
		}
	}
}
