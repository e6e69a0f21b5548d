package gateways

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// removal is how long taking the entry out may take at the end. Without it the entry goes away by itself.
const removal = 2 * time.Second

// Member is a gateway that is there, as the register knows it.
type Member struct {
	ID string `json:"id"`
	// Name, Version, Started and Conns are what the gateway says of itself, by its own clock, at its last renewal. They are empty where its entry is of a
	// format that this process doesn't know: it is a member all the same.
	Name    string    `json:"name"`
	Version string    `json:"version,omitempty"`
	Started time.Time `json:"started"`
	Conns   int       `json:"conns"`
	// Renewed is when it has said so last, by the NATS server's clock.
	Renewed time.Time `json:"renewed"`
}

// register keeps this gateway's entry until ctx ends, and then removes it.
func (g *Gateway) register(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		// Without a connection a renewal fails at once: try again soon, each at another time than the others.
		next := g.cfg.Renewal / 10
		err := g.renew(ctx)
		if err == nil {
			next = g.cfg.Renewal
		} else if !failing && ctx.Err() == nil && g.cfg.Failed != nil {
			g.cfg.Failed(err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-time.After(next - rand.N(next/4+1)):
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removal)
	defer cancel()
	_ = g.kv.Delete(ctx, g.id)
}

// renew writes the entry. One that was written late, or twice, does no harm.
func (g *Gateway) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Renewal/2)
	defer cancel()
	e := entry{V: version, Name: g.cfg.Name, Version: g.cfg.Version, Started: g.started.UTC()}
	if g.cfg.Conns != nil {
		e.Conns = g.cfg.Conns()
	}
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("gateways: write entry: %w", err)
	}
	if _, err := g.kv.Put(ctx, g.id, value); err != nil {
		return fmt.Errorf("gateways: renew entry: %w", err)
	}
	g.counts.renewals.Add(1)
	return nil
}

// maxMembers bounds what is read of the register.
const maxMembers = 10_000

// Members returns the gateways that are there, by name and id. It asks NATS and blocks until ctx ends at the latest. It returns ErrClosed, or why the register
// can't be read; never a part of it.
func (f *Fleet) Members(ctx context.Context) ([]Member, error) {
	members, err := f.members(ctx)
	if err != nil {
		return nil, fmt.Errorf("gateways: read the register: %w", err)
	}
	return members, nil
}

func (f *Fleet) members(ctx context.Context) ([]Member, error) {
	if f.closed() {
		return nil, ErrClosed
	}
	w, err := f.kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Stop() }() // the server forgets it by itself
	members := []Member{}
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.done:
			return nil, ErrClosed
		case e, ok := <-w.Updates():
			if !ok {
				return nil, ErrClosed
			}
			if e == nil {
				// That was all that there is now.
				slices.SortFunc(members, compareMembers)
				return members, nil
			}
			if !isID(e.Key()) || len(members) == maxMembers {
				f.bad.Add(1)
				continue
			}
			members = append(members, f.member(e))
		}
	}
}

// member reads an entry. Who can't be read is there all the same, and is to be asked.
func (f *Fleet) member(e jetstream.KeyValueEntry) Member {
	m := Member{ID: e.Key(), Renewed: e.Created()}
	var said entry
	if err := decode(e.Value(), &said); err != nil || !isName(said.Name) || !isName(said.Version) {
		f.bad.Add(1)
		return m
	}
	m.Name, m.Version, m.Started, m.Conns = said.Name, said.Version, said.Started, max(said.Conns, 0)
	return m
}

func compareMembers(a, b Member) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}
