package fanout

import (
	"context"
	"time"
)

// crewPatience is for how long a goroutine of a crew waits for more to do.
const crewPatience = time.Second

// crew are goroutines that do one thing after the other, so that each doesn't have to grow its stack anew. There are as many as there is to do at once. Make it with
// newCrew.
type crew struct {
	ctx  context.Context
	jobs chan func()
}

// newCrew returns a crew that is dismissed when ctx ends; then everything gets a goroutine of its own.
func newCrew(ctx context.Context) crew { return crew{ctx: ctx, jobs: make(chan func())} }

// do has a job done, at once.
func (c crew) do(job func()) {
	select {
	case c.jobs <- job:
	default:
		go c.work(job)
	}
}

func (c crew) work(job func()) {
	job()
	patience := time.NewTimer(crewPatience)
	defer patience.Stop()
	for {
		select {
		case job = <-c.jobs:
			job()
			patience.Reset(crewPatience)
		case <-patience.C:
			return
		case <-c.ctx.Done():
			return
		}
	}
}
