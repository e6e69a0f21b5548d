package revocationnats

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/revocation"
)

const (
	// maxAwaited is how many positions a replica waits for at once because somebody has asked. Of what comes beyond that, the regular report tells.
	maxAwaited = 64
	// maxAsks is how many who ask for a position aren't read yet: as many calls as are stored in a moment. Of what comes beyond that, nats.go drops; who asks asks again.
	maxAsks = 1024
	// maxQuestions is how many questions wait; of what comes beyond that, nats.go drops.
	maxQuestions = 64
	// awaitFor is for how long it waits for one: a position may never come.
	awaitFor = 35 * time.Second
)

// ErrPresence is returned by NewPresence for a configuration that can't be reported.
var ErrPresence = errors.New("the replica can't report itself")

// Reporting is what a Presence needs of a replica. *[revocation.Replica] is one.
type Reporting interface {
	Status() revocation.Status
	Check(revocation.Session) revocation.Decision
	StalenessBudget() time.Duration
	WaitFor(ctx context.Context, position uint64) error
}

// PresenceConfig of a Presence.
type PresenceConfig struct {
	// Name tells this process from others of its group, as billing-7. Empty means the host's name and the process's number. Whoever reads receipts reads it.
	Name string
	// Group is what the processes run, as billing. Empty means "default".
	Group string
	// Version of the program; optional.
	Version string
	// Budget is the oldest proof with which any route of the process answers active ([revocation.Require]). Zero means the replica's own budget. A route that takes an older one than
	// is said here, or that fails open, makes the lease a promise that isn't kept.
	Budget time.Duration
	// Passes is what the process has let through, as its middleware has recorded; nil answers nobody who asks for that.
	Passes *revocation.Passes
}

// Presence has a replica report how far it is, and answer what it knows of a session, so that receipts name it and whoever waits for a revocation to be applied waits for this replica too (package presence tells how). Make
// one with NewPresence, and close it before the replica and the connection.
type Presence struct {
	nc      *nats.Conn
	replica Reporting
	about   presence.Report
	passes  *revocation.Passes
	subs    []*nats.Subscription
	awaits  chan *nats.Msg
	// questions are answered by a goroutine of their own: they may take longer than a report can wait.
	questions chan *nats.Msg
	// soon has a token when there is something to report at once.
	soon chan struct{}
	// back tells that the connection is back.
	back   chan nats.Status
	cancel context.CancelFunc
	work   sync.WaitGroup
	once   sync.Once

	mu sync.Mutex
	// awaited are the positions that are waited for.
	awaited map[uint64]struct{}
}

// NewPresence reports the replica over nc from now on, until Close. Both stay the caller's. It needs the right to publish to curfew.live.replica.reports,
// curfew.live.replica.applied and curfew.live.answers.*, and to subscribe to curfew.live.replica.await and curfew.live.replicas. A connection that is lost ends nothing. It returns ErrPresence, and what NATS says where nothing can be heard.
func NewPresence(nc *nats.Conn, replica Reporting, cfg PresenceConfig) (*Presence, error) {
	if nc == nil || replica == nil {
		return nil, fmt.Errorf("%w: the connection and the replica are required", ErrPresence)
	}
	host, _ := os.Hostname() // for people only
	p := &Presence{
		nc: nc, replica: replica, passes: cfg.Passes, questions: make(chan *nats.Msg, maxQuestions), awaits: make(chan *nats.Msg, maxAsks), soon: make(chan struct{}, 1), awaited: map[uint64]struct{}{},
		about: presence.Report{
			ID: rand.Text(), Name: cmp.Or(cfg.Name, fmt.Sprintf("%s:%d", host, os.Getpid())), Group: cmp.Or(cfg.Group, "default"), Version: cfg.Version,
			BudgetMS: cmp.Or(cfg.Budget, replica.StalenessBudget()).Milliseconds(),
		},
	}
	if _, err := presence.EncodeReport(p.report()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPresence, err)
	}
	for topic, messages := range map[string]chan *nats.Msg{presence.AwaitTopic: p.awaits, presence.QuestionsTopic: p.questions} {
		sub, err := nc.ChanSubscribe(topic, messages)
		if err != nil {
			p.unsubscribe()
			return nil, fmt.Errorf("hear who asks for replicas: %w", err)
		}
		p.subs = append(p.subs, sub)
	}
	p.back = nc.StatusChanged(nats.CONNECTED)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.work.Go(func() { p.run(ctx) })
	p.work.Go(func() { p.answerAll(ctx) })
	return p, nil
}

// ID names this process in reports and receipts: letters and digits, made anew at each start.
func (p *Presence) ID() string { return p.about.ID }

// Close says that the replica leaves, and reports nothing more. It may be called more than once, and always returns nil.
func (p *Presence) Close() error {
	p.once.Do(func() {
		p.unsubscribe()
		p.cancel()
		p.work.Wait()
		leaving := p.report()
		leaving.Leaving = true
		p.tell(leaving)
		_ = p.nc.FlushTimeout(time.Second) // who isn't told finds that the lease runs out
	})
	p.work.Wait()
	return nil
}

func (p *Presence) unsubscribe() {
	for _, sub := range p.subs {
		_ = sub.Unsubscribe() // fails only where there is nothing to end
	}
	if p.back != nil {
		p.nc.RemoveStatusListener(p.back)
	}
}

// run reports until ctx ends: each interval, and once the connection is back, for then the replica has proof again in a moment, and its lease may have run out.
func (p *Presence) run(ctx context.Context) {
	p.tell(p.report())
	tick := time.NewTicker(presence.Interval)
	defer tick.Stop()
	back := p.back
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-back:
			if !open {
				back = nil // the connection is closed
				continue
			}
			p.tell(p.report())
		case <-tick.C:
			p.tell(p.report())
		case <-p.soon:
			p.tellApplied(p.report())
		case msg := <-p.awaits:
			p.await(ctx, msg)
		}
	}
}

// await says at once that the position is applied if it is, and else as soon as it is.
func (p *Presence) await(ctx context.Context, msg *nats.Msg) {
	a, err := presence.DecodeAwait(msg.Data)
	now := p.report()
	switch {
	case err != nil:
	case now.Stream != a.Stream:
		p.tell(now)
	case now.Position >= a.Position:
		p.tellApplied(now)
	case p.claim(a.Position):
		p.work.Go(func() { p.waitFor(ctx, a.Position) })
	}
}

// claim reports whether the position is to be waited for: it isn't yet, and there are few. Of the others the next report tells.
func (p *Presence) claim(position uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, there := p.awaited[position]; there || len(p.awaited) >= maxAwaited {
		return false
	}
	p.awaited[position] = struct{}{}
	return true
}

func (p *Presence) waitFor(ctx context.Context, position uint64) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.awaited, position)
	}()
	ctx, cancel := context.WithTimeout(ctx, awaitFor)
	defer cancel()
	if p.replica.WaitFor(ctx, position) != nil {
		return
	}
	select {
	case p.soon <- struct{}{}:
	default: // it is about to report, and hasn't looked how far it is
	}
}

func (p *Presence) report() presence.Report {
	r, st := p.about, p.replica.Status()
	r.Stream, r.Position, r.Fresh, r.StalenessMS = st.Made, st.Position, st.Fresh, st.Staleness.Milliseconds()
	if st.Staleness < 0 {
		r.StalenessMS = -1
	}
	return r
}

// tell sends a report. While there is no connection it doesn't: what waits for one would say later how things were before.
func (p *Presence) tell(r presence.Report) {
	if !p.nc.IsConnected() {
		return
	}
	if data, err := presence.EncodeReport(r); err == nil {
		_ = p.nc.Publish(presence.ReportsTopic, data) // who listens finds that it is missing
	}
}

// tellApplied says in short how far the replica is.
func (p *Presence) tellApplied(r presence.Report) {
	if !p.nc.IsConnected() {
		return
	}
	if data, err := presence.EncodeApplied(presence.Applied{ID: r.ID, Stream: r.Stream, Position: r.Position}); err == nil {
		_ = p.nc.Publish(presence.AppliedTopic, data) // who waits asks again
	}
}
