package revocationhttp

import (
	"fmt"
	"sync"
	"time"
)

// maxFlightsOf is how many questions about one session of one user may be under way at once.
const maxFlightsOf = 4

// flights holds the questions under way, so that identical ones are asked once. The zero value is ready to use.
//
// A request chooses the position that it presents, and so can be another question than all before. What one session's requests can have under way is
// bounded therefore, or one of them would take the gate's places from everybody.
type flights struct {
	mu sync.Mutex
	// open: question → its flight.
	open map[question]*flight
	// of: whom it is asked about → how many flights, at least 1.
	of map[asked]int
}

// asked is whom a question is about.
type asked struct{ tenant, session, user string }

func (q question) about() asked { return asked{q.tenant, q.session, q.user} }

// flight is one question under way. What comes of it is written before done is closed.
type flight struct {
	// done is closed when there is an answer or an error.
	done    chan struct{}
	asked   time.Time
	verdict verdict
	err     error
}

// join returns the flight of a question, and whether the caller has begun it and must land it. It returns ErrGateBusy if it would be one too many about
// the session.
func (f *flights) join(q question) (fl *flight, first bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, ok := f.open[q]; ok {
		return fl, false, nil
	}
	if f.open == nil {
		f.open, f.of = map[question]*flight{}, map[asked]int{}
	}
	if f.of[q.about()] == maxFlightsOf {
		return nil, false, fmt.Errorf("%w: %d about the same session", ErrGateBusy, maxFlightsOf)
	}
	fl = &flight{done: make(chan struct{}), asked: time.Now()}
	f.open[q] = fl
	f.of[q.about()]++
	return fl, true, nil
}

// land gives the outcome to all who wait. Nobody joins the flight from now on: an answer is for those who asked while it was on its way.
func (f *flights) land(q question, fl *flight) {
	f.mu.Lock()
	delete(f.open, q)
	if f.of[q.about()]--; f.of[q.about()] == 0 {
		delete(f.of, q.about())
	}
	f.mu.Unlock()
	close(fl.done)
}

// age returns how long ago the question was asked. The monotonic clock, and with it the timeout, stands still while a machine sleeps, and the wall clock can
// be set back: the larger of the two ages is right in both cases.
func (fl *flight) age(now time.Time) time.Duration {
	return max(now.Sub(fl.asked), now.Round(0).Sub(fl.asked.Round(0)), 0)
}
