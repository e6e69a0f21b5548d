package revocationhttp

import (
	"sync"
	"time"
)

// flights holds the questions under way, so that identical ones are asked once. The zero value is ready to use.
type flights struct {
	mu sync.Mutex
	// open: question → its flight.
	open map[question]*flight
}

// flight is one question under way. What comes of it is written before done is closed.
type flight struct {
	// done is closed when there is an answer or an error.
	done    chan struct{}
	asked   time.Time
	verdict verdict
	err     error
}

// join returns the flight of a question, and whether the caller has begun it and must land it.
func (f *flights) join(q question) (*flight, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, ok := f.open[q]; ok {
		return fl, false
	}
	if f.open == nil {
		f.open = map[question]*flight{}
	}
	fl := &flight{done: make(chan struct{}), asked: time.Now()}
	f.open[q] = fl
	return fl, true
}

// land gives the outcome to all who wait. Nobody joins the flight from now on: an answer is for those who asked while it was on its way.
func (f *flights) land(q question, fl *flight) {
	f.mu.Lock()
	delete(f.open, q)
	f.mu.Unlock()
	close(fl.done)
}
