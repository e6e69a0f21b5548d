package fanout

import (
	"context"
	"sync"
	"time"
)

// crewPatience is for how long a goroutine of a crew waits for more to do.
const crewPatience = time.Second

// crew are goroutines that do one thing after the other, so that each doesn't have to grow its stack anew. There are as many as there is to do at once. Make it with
// newCrew.
type crew struct {
	ctx  context.Context
	jobs chan func()
	// work counts the goroutines, for wait.
	work *sync.WaitGroup
}

// newCrew returns a crew that is dismissed when ctx ends; then everything gets a goroutine of its own.
func newCrew(ctx context.Context) crew {
	return crew{ctx: ctx, jobs: make(chan func()), work: &sync.WaitGroup{}}
}

// do has a job done, at once.
func (c crew) do(job func()) {
	select {
	case c.jobs <- job:
	default:
		c.work.Go(func() { c.serve(job) })
	}
}

// wait waits for what is being done. It is called when no more comes.
func (c crew) wait() { c.work.Wait() }

func (c crew) serve(job func()) {
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
