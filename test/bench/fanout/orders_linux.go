package main

import (
	"context"
	"fmt"
	"time"
)

// do begins what is ordered; pending says when it is done.
func (l *loader) do(ctx context.Context, o order) error {
	now := func(a answer) { l.pending = func() (answer, bool) { return a, true } }
	switch o.Do {
	case "add":
		return l.add(ctx, o.Crowd, now)
	case "again":
		return l.again(ctx, o.Crowd, now)
	case "connect":
		return l.connect(o)
	case "told":
		l.pending = func() (answer, bool) { return l.told(o.Count) }
	case "ack":
		l.hold = false
		now(answer{})
	case "closed":
		l.pending = func() (answer, bool) { return l.closed(o.Count) }
	case "forget":
		for i := range l.tabs {
			if l.tabs[i].fd >= 0 {
				l.shut(i)
			}
		}
		lost := l.lost
		l.tabs, l.queue, l.owing, l.inFlight, l.hold = nil, nil, nil, 0, false
		l.notices, l.codes, l.lost, l.ended = notices{}, map[int]int{}, map[string]int{}, 0
		now(answer{Lost: lost})
	case "lost":
		now(answer{Lost: l.lost})
	default:
		return fmt.Errorf("there is no order %q", o.Do)
	}
	return nil
}

// add makes tabs, with tickets, that aren't connected.
func (l *loader) add(ctx context.Context, c crowd, now func(answer)) error {
	began := time.Now()
	tickets, err := c.tickets(ctx)
	if err != nil {
		return err
	}
	for _, ticket := range tickets {
		l.tabs = append(l.tabs, aTab{fd: -1, request: request(ticket)})
	}
	now(answer{Count: len(tickets), Took: time.Since(began)})
	return nil
}

// again gets a new ticket for every tab. The crowd must be that of which the tabs are.
func (l *loader) again(ctx context.Context, c crowd, now func(answer)) error {
	began := time.Now()
	tickets, err := c.tickets(ctx)
	if err != nil {
		return err
	}
	if len(tickets) != len(l.tabs) {
		return fmt.Errorf("%d tickets for %d tabs", len(tickets), len(l.tabs))
	}
	for i, ticket := range tickets {
		l.tabs[i].request = request(ticket)
	}
	now(answer{Count: len(tickets), Took: time.Since(began)})
	return nil
}

// connect connects every tab that has no socket.
func (l *loader) connect(o order) (err error) {
	if l.to, err = loopback(o.Addr); err != nil {
		return err
	}
	l.window, l.hold = o.Window, o.Hold
	l.began, l.readyCount, l.refused, l.lastReady = time.Now().UnixNano(), 0, 0, 0
	if o.Drop {
		for i := range l.tabs {
			if l.tabs[i].fd >= 0 {
				l.shut(i)
			}
		}
	}
	for i := range l.tabs {
		if l.tabs[i].fd < 0 {
			l.queue = append(l.queue, i)
		}
	}
	l.pending = func() (answer, bool) {
		a := answer{Count: l.readyCount, Began: l.began, Ended: l.lastReady, Refused: l.refused, Lost: l.lost}
		return a, len(l.queue) == 0 && l.inFlight == 0
	}
	return nil
}

// told returns the notices that were read since the last time, once there are enough.
func (l *loader) told(want int) (answer, bool) {
	n, a := 0, answer{Notices: map[string]told{}}
	for id, t := range l.notices {
		n += t.Count
		a.Notices[id] = t.told
	}
	if n < want {
		return a, false
	}
	l.notices = notices{}
	return a, true
}

// closed returns how many conns the gateway has closed since the last time, once there are enough.
func (l *loader) closed(want int) (answer, bool) {
	a := answer{Count: l.ended, Ended: l.lastEnd, Codes: l.codes, Lost: l.lost}
	if l.ended < want {
		return a, false
	}
	l.ended, l.codes = 0, map[int]int{}
	return a, true
}
