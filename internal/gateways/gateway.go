package gateways

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
)

// Config of a gateway. Fields without a note are required.
type Config struct {
	// Name is for people, as host:pid. It need not be unique; at most 256 bytes without control characters.
	Name string
	// Version of the program, for people; optional.
	Version string
	// Tabs returns the open tabs of a user at this gateway; where there are too many for an answer, the last ones are left out. It is called by up to four
	// goroutines at once, and should answer from memory: as long as it takes, others wait.
	Tabs func(tenant, user string) []Tab
	// Conns is how many conns there are. It is called at each renewal; nil leaves the number at 0.
	Conns func() int
	// Passed is called with what other gateways pass on, one after the other; it decides whether the stream is one of its own, and must not block. nil takes nothing.
	Passed func(PassedAck)
	// Hint is called with what Tell tells all gateways, one after the other, and must not block. nil takes nothing.
	Hint func(Hint)
	// Again is called with the positions of events of which tabs are to be told again, one call after the other, and returns how many tabs were told; who asks waits for it. nil takes nothing.
	Again func(positions []uint64) (told int)
	// Shown tells what became of the notice of an event at this gateway; it must not block. nil answers nobody who asks for that.
	Shown func(event string, position uint64) Shown
	// Crowd tells how many tabs an event would end at this gateway; it must not block. nil answers nobody who asks for that.
	Crowd func(events.Event) Crowd
	// Renewal is how often the entry of the register is renewed, up to a quarter sooner. Zero means 5 s: a third of the TTL of the bucket, so that two may fail.
	Renewal time.Duration
	// PresenceDelay is how long a user's first tab must stay, or the last one be gone, before it is told. Zero means 10 s, negative at once.
	PresenceDelay time.Duration
	// AcksDelay is for how long acknowledgements are gathered into one message, at most. Zero means 50 ms, negative not at all.
	AcksDelay time.Duration
	// MaxAcks bounds acknowledgements that wait, as while there is no connection. Zero means 16,384, which is about 2 MB.
	MaxAcks int
	// Failed is told that the entry couldn't be renewed, and once more only after that has worked again. It may be nil and must not block.
	Failed func(err error)
}

// Gateway is this process as others see it. Make it with New, run it with Run. Its methods are safe for concurrent use.
type Gateway struct {
	id       string
	cfg      Config
	nc       *nats.Conn
	kv       jetstream.KeyValue
	started  time.Time
	presence *presence
	acks     *gathering
	counts   counts
	// answering is nil before Run.
	answering atomic.Pointer[answering]
}

// counts are what Stats tells.
type counts struct {
	renewals, answered, questionsDropped, bad atomic.Uint64
	changes, acks, acksDropped                atomic.Uint64
}

// Stats counts what a gateway has done since New.
type Stats struct {
	// Renewals of the entry in the register that have worked.
	Renewals uint64
	// Questions that were answered, and QuestionsDropped those of a flood, which were not.
	Questions, QuestionsDropped uint64
	// Changes of presence that were told.
	Changes uint64
	// Acks that were told, and AcksDropped those that were not: there was no room, no connection at the end, or they weren't in form.
	Acks, AcksDropped uint64
	// Bad counts questions that weren't in form, and answers and changes that couldn't be written.
	Bad uint64
	// Users is how many there are now, or have gone and it isn't told yet.
	Users int
}

// New returns a gateway with a random id. Nobody hears of it before Run; but Up, Down and Acked work from now on. nc is the connection of kv, which is
// [bus.GatewaysBucket]; both stay the caller's. It returns ErrInvalid.
func New(nc *nats.Conn, kv jetstream.KeyValue, cfg Config) (*Gateway, error) {
	switch {
	case nc == nil || kv == nil:
		return nil, fmt.Errorf("gateways: %w: the connection and the bucket are required", ErrInvalid)
	case cfg.Name == "" || !isName(cfg.Name) || !isName(cfg.Version):
		return nil, fmt.Errorf("gateways: %w: Name is required, and neither it nor Version is longer than %d bytes or holds control characters", ErrInvalid, maxNameBytes)
	case cfg.Tabs == nil:
		return nil, fmt.Errorf("gateways: %w: Tabs is required", ErrInvalid)
	case cfg.Renewal < 0 || cfg.MaxAcks < 0:
		return nil, fmt.Errorf("gateways: %w: neither Renewal nor MaxAcks can be negative", ErrInvalid)
	}
	if cfg.Renewal == 0 {
		cfg.Renewal = DefaultRenewal
	}
	if cfg.PresenceDelay == 0 {
		cfg.PresenceDelay = DefaultPresenceDelay
	}
	if cfg.AcksDelay == 0 {
		cfg.AcksDelay = DefaultAcksDelay
	}
	if cfg.MaxAcks == 0 {
		cfg.MaxAcks = DefaultMaxAcks
	}
	id := make([]byte, idBytes/2)
	_, _ = rand.Read(id) // never fails
	return &Gateway{
		id: hex.EncodeToString(id), cfg: cfg, nc: nc, kv: kv, started: time.Now(),
		presence: newPresence(max(cfg.PresenceDelay, 0)), acks: newGathering(cfg.MaxAcks),
	}, nil
}

// Defaults of Config.
const (
	DefaultRenewal       = 5 * time.Second
	DefaultPresenceDelay = 10 * time.Second
	DefaultAcksDelay     = 50 * time.Millisecond
	DefaultMaxAcks       = 16_384
)

// ID names this gateway: 32 hex digits, drawn anew for each process.
func (g *Gateway) ID() string { return g.id }

// Run makes this process a member and answers questions, until ctx ends. Then it stops being one at once, tells the acknowledgements that are left, and
// nothing more of who comes and goes: that a gateway has gone says that its users have. That takes 2 s at most, and as long as Tabs and Conns take. A
// connection that is lost doesn't end it. It is called once, and returns an error only where it can't begin.
func (g *Gateway) Run(ctx context.Context) error {
	// Questions are heard before anybody can know that there is somebody to ask.
	answering, err := g.listen()
	if err != nil {
		return fmt.Errorf("gateways: listen for questions: %w", err)
	}
	hearings := make([]*bus.Hearing, 0, 5)
	stop := func() {
		for _, h := range slices.Backward(hearings) {
			h.Close()
		}
		answering.stop()
	}
	for _, to := range []struct {
		what   string
		listen func() (*bus.Hearing, error)
	}{
		{"acknowledgements", g.takePassed}, {"hints", g.hear}, {"questions of what was shown", g.listenShown}, {"what is told again", g.tellAgain},
		{"questions of how many an event would end", g.listenCrowd},
	} {
		h, err := to.listen()
		if err != nil {
			stop()
			return fmt.Errorf("gateways: listen for %s: %w", to.what, err)
		}
		hearings = append(hearings, h)
	}
	var work sync.WaitGroup
	work.Go(func() { g.register(ctx) })
	work.Go(func() { g.presence.run(ctx, g.tellChanges) })
	work.Go(func() { g.counts.acksDropped.Add(uint64(g.acks.run(ctx, g.cfg.AcksDelay, g.tellAcks))) })
	work.Wait()
	stop()
	return nil
}

// Up says that a conn of the user is there. The first one is told to followers unless the user has gone again within Config.PresenceDelay. It doesn't block.
// The ids are taken to be in form; what isn't is ignored where it is heard.
func (g *Gateway) Up(tenant, user string) { g.presence.up(account{tenant, user}) }

// Down takes one Up back. One that was never there changes nothing.
func (g *Gateway) Down(tenant, user string) { g.presence.down(account{tenant, user}) }

// Acked takes what a tab did with a notice, and tells it to followers soon; Gateway is filled in. It doesn't block: without room the acknowledgement is
// dropped and counted.
func (g *Gateway) Acked(a Ack) {
	a.At = a.At.UTC()
	if !a.inForm() || !g.acks.add(a) {
		g.counts.acksDropped.Add(1)
	}
}

// Stats returns what was counted.
func (g *Gateway) Stats() Stats {
	if a := g.answering.Load(); a != nil {
		a.noteDropped()
	}
	return Stats{
		Renewals: g.counts.renewals.Load(), Questions: g.counts.answered.Load(), QuestionsDropped: g.counts.questionsDropped.Load(),
		Changes: g.counts.changes.Load(), Acks: g.counts.acks.Load(), AcksDropped: g.counts.acksDropped.Load(), Bad: g.counts.bad.Load(),
		Users: g.presence.count(),
	}
}
