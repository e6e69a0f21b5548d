package sampleapp

import (
	"fmt"
	"io"
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

// Latencies prints one line per event: when it was stored, applied and shown. It is safe for concurrent use.
type Latencies struct {
	out io.Writer

	mu sync.Mutex
	// events: event → what is known of it so far.
	events map[string]*timing
	closed bool
}

// timing collects what became of one event. Zero times are unknown.
type timing struct {
	name, detail                  string
	began, stored, applied, shown time.Time
	tabs                          int
}

// NewLatencies returns a printer to out.
func NewLatencies(out io.Writer) *Latencies {
	return &Latencies{out: out, events: map[string]*timing{}}
}

// Applied is told of each event that the replica has applied.
func (l *Latencies) Applied(a revocation.Applied) {
	now := time.Now()
	m := a.Event.Meta()
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.of(m.ID)
	t.applied = now
	t.name, t.detail = events.Name(a.Event), string(m.Reason)
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
	time.AfterFunc(settle, func() { l.print(event) })
	return t
}

// Close prints no more lines.
func (l *Latencies) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

func (l *Latencies) print(event string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.events[event]
	delete(l.events, event)
	if l.closed || t.applied.IsZero() {
		return
	}
	parts := []string{fmt.Sprintf("%-23s %-12s", t.name, t.detail)}
	for _, p := range []struct {
		name string
		at   time.Time
	}{{"stored", t.stored}, {"applied", t.applied}, {"shown", t.shown}} {
		if !p.at.IsZero() {
			parts = append(parts, fmt.Sprintf("%s %.1f ms", p.name, float64(p.at.Sub(t.began).Microseconds())/1000))
		}
	}
	if t.tabs > 0 {
		parts = append(parts, fmt.Sprintf("(the last of %d tabs)", t.tabs))
	}
	fmt.Fprintln(l.out, strings.Join(parts, "  "))
}
