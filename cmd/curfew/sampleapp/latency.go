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
	if l.Tabs > 1 {
		parts = append(parts, fmt.Sprintf("(the last of %d tabs)", l.Tabs))
	}
	return strings.Join(parts, "  ")
}

// Latencies tells of each event when it was stored, applied and shown. It is safe for concurrent use. Close it.
type Latencies struct {
	// print is called from timers, without the lock: whoever is told of an event must never wait for a blocked terminal.
	print func(Line)
	// printing counts timers whose line is being printed.
	printing sync.WaitGroup

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
	timer                         *time.Timer
}

// NewLatencies returns latencies that call print for each event once its tabs have had time to acknowledge it, maybe at the same time for
// several.
func NewLatencies(print func(Line)) *Latencies {
	return &Latencies{print: print, events: map[string]*timing{}}
}

// Applied is told of each event that the replica has applied.
func (l *Latencies) Applied(a revocation.Applied) {
	m := a.Event.Meta()
	l.note(m.ID, func(t *timing, now time.Time) {
		t.applied = now
		t.name, t.reason = events.Name(a.Event), string(m.Reason)
		if t.began.IsZero() {
			// Somebody else published it; the event's own time is when the publisher took it.
			t.began = m.Time
		}
	})
}

// Published is told of each revocation that the application has published.
func (l *Latencies) Published(r publisher.Stored, began, ended time.Time) {
	l.note(r.ID, func(t *timing, _ time.Time) { t.began, t.stored = began, ended })
}

// Shown is told of each acknowledged notice.
func (l *Latencies) Shown(event string, outcome tab.Outcome) {
	if outcome == tab.OutcomeIgnored {
		return
	}
	l.note(event, func(t *timing, now time.Time) {
		t.shown = now
		t.tabs++
	})
}

// note adds to what is known of an event. The first to do so sets its timer.
func (l *Latencies) note(event string, add func(t *timing, now time.Time)) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	t, ok := l.events[event]
	if !ok {
		t = &timing{}
		l.events[event] = t
		l.printing.Add(1)
		t.timer = time.AfterFunc(settle, func() {
			defer l.printing.Done()
			if line, ok := l.line(event); ok {
				l.print(line)
			}
		})
	}
	add(t, now)
}

// Close drops what hasn't been printed, and waits for what is being printed.
func (l *Latencies) Close() {
	l.mu.Lock()
	l.closed = true
	for _, t := range l.events {
		if t.timer.Stop() {
			l.printing.Done()
		}
	}
	l.mu.Unlock()
	l.printing.Wait()
}

// line takes an event's line out; false if nothing is known that is worth one.
func (l *Latencies) line(event string) (Line, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.events[event]
	delete(l.events, event)
	if l.closed || t.applied.IsZero() {
		return Line{}, false
	}
	after := func(at time.Time) *float64 {
		if at.IsZero() {
			return nil
		}
		ms := float64(at.Sub(t.began).Microseconds()) / 1000
		return &ms
	}
	return Line{
		Event: event, Type: t.name, Reason: t.reason, StoredMS: after(t.stored), AppliedMS: after(t.applied), ShownMS: after(t.shown), Tabs: t.tabs,
	}, true
}
