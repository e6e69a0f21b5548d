package sampleapp

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/services/publisher"
)

// settle is how long after an event its line waits for tabs to acknowledge.
const settle = 700 * time.Millisecond

// Line is what became of one event, in milliseconds after its publish began. What isn't known is left out.
type Line struct {
	Event     string   `json:"event"`
	Type      string   `json:"type"`
	Reason    string   `json:"reason"`
	StoredMS  *float64 `json:"stored_ms,omitempty"`
	AppliedMS *float64 `json:"applied_ms,omitempty"`
	ShownMS   *float64 `json:"shown_ms,omitempty"`
	// Tabs is how many have acknowledged; ShownMS is the last one's.
	Tabs int `json:"tabs"`
}

// String is the line for a person.
func (l Line) String() string {
	parts := []string{fmt.Sprintf("%-23s %-12s", l.Type, l.Reason)}
	for _, p := range []struct {
		name string
		ms   *float64
	}{{"stored", l.StoredMS}, {"applied", l.AppliedMS}, {"shown", l.ShownMS}} {
		if p.ms != nil {
			parts = append(parts, fmt.Sprintf("%s %.1f ms", p.name, *p.ms))
		}
	}
	if l.Tabs > 0 {
		parts = append(parts, fmt.Sprintf("(the last of %d tabs)", l.Tabs))
	}
	return strings.Join(parts, "  ")
}

// Latencies tells of each event when it was stored, applied and shown. It is safe for concurrent use.
type Latencies struct {
	print func(Line)

	mu sync.Mutex
	// events: event → what is known of it so far.
	events map[string]*timing
	closed bool
}

// timing collects what became of one event. Zero times are unknown.
type timing struct {
	name, reason                  string
	began, stored, applied, shown time.Time
	tabs                          int
}

// NewLatencies returns latencies that call print for each event, one at a time, once its tabs have had time to acknowledge it.
func NewLatencies(print func(Line)) *Latencies {
	return &Latencies{print: print, events: map[string]*timing{}}
}

// Applied is told of each event that the replica has applied.
func (l *Latencies) Applied(a revocation.Applied) {
	now := time.Now()
	m := a.Event.Meta()
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.of(m.ID)
	t.applied = now
	t.name, t.reason = events.Name(a.Event), string(m.Reason)
	if t.began.IsZero() {
		// Somebody else published it; the event's own time is when the publisher took it.
		t.began = m.Time
	}
}

// Published is told of each revocation that the application has published.
func (l *Latencies) Published(r publisher.Receipt, began, ended time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.of(r.ID)
	t.began, t.stored = began, ended
}

// Shown is told of each acknowledged notice.
func (l *Latencies) Shown(event string, outcome tab.Outcome) {
	if outcome == tab.OutcomeIgnored {
		return
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.of(event)
	t.shown = now
	t.tabs++
}

// of returns the event's timing; the first to ask sets the line's timer.
func (l *Latencies) of(event string) *timing {
	if t, ok := l.events[event]; ok {
		return t
	}
	t := &timing{}
	l.events[event] = t
	time.AfterFunc(settle, func() { l.settle(event) })
	return t
}

// Close ends it: nothing is printed afterwards.
func (l *Latencies) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

func (l *Latencies) settle(event string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.events[event]
	delete(l.events, event)
	if l.closed || t.applied.IsZero() {
		return
	}
	after := func(at time.Time) *float64 {
		if at.IsZero() {
			return nil
		}
		ms := float64(at.Sub(t.began).Microseconds()) / 1000
		return &ms
	}
	l.print(Line{Event: event, Type: t.name, Reason: t.reason, StoredMS: after(t.stored), AppliedMS: after(t.applied), ShownMS: after(t.shown), Tabs: t.tabs})
}
