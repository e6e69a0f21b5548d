package replicas

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/internal/bus"
)

// Obeying is a replica that takes orders. Make it with Obey and close it.
type Obeying struct {
	nc *nats.Conn
	// replica is drawn for each.
	replica, name, group string
	rebuild              func(context.Context) (Rebuild, error)
	hearing              *bus.Hearing
	ctx                  context.Context
	stop                 context.CancelFunc
	work                 sync.WaitGroup

	mu sync.Mutex
	// id is the order that is being carried out or was last, and said what came of it. to: topics that want to hear of it.
	id   string
	said Rebuild
	to   map[string]struct{}
}

// Obey begins to take orders for a group. rebuild does what is ordered, one order at a time, and returns whether the replica held the same before, with the digest and
// the position; its context ends with Close.
func Obey(nc *nats.Conn, name, group string, rebuild func(context.Context) (Rebuild, error)) (*Obeying, error) {
	o := &Obeying{nc: nc, replica: rand.Text(), name: name, group: group, rebuild: rebuild, to: map[string]struct{}{}}
	o.ctx, o.stop = context.WithCancel(context.Background())
	var err error
	if o.hearing, err = bus.Hear(nc, bus.LiveRebuildTopic, maxOrders, o.take); err != nil {
		o.stop()
		return nil, fmt.Errorf("replicas: listen for orders: %w", err)
	}
	return o, nil
}

// Close takes no more orders and ends the one that is being carried out. It may be called more than once.
func (o *Obeying) Close() {
	o.hearing.Close()
	o.stop()
	o.work.Wait()
}

// take takes an order: one that it knows is answered, unless it has failed, and one beside another refused.
func (o *Obeying) take(msg *nats.Msg) {
	var m order
	if len(msg.Data) > maxMessageBytes || json.Unmarshal(msg.Data, &m) != nil || m.V != version || m.Group != o.group || m.ID == "" || len(m.ID) > 64 || !bus.IsLiveAnswerTopic(msg.Reply) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.id == m.ID && o.said.State != RebuildFailed:
		if len(o.to) < maxOrders {
			o.to[msg.Reply] = struct{}{}
		}
		o.tell(msg.Reply, o.said)
		return
	case o.id != "" && o.said.State == RebuildReading:
		o.tell(msg.Reply, Rebuild{Name: o.name, State: RebuildFailed, Error: "it reads the ledger anew already, by another order: resume when that is over"})
		return
	}
	o.id, o.said, o.to = m.ID, Rebuild{Name: o.name, State: RebuildReading}, map[string]struct{}{msg.Reply: {}}
	o.tell(msg.Reply, o.said)
	o.work.Go(o.carryOut)
}

// carryOut does what was ordered, and says that it does meanwhile.
func (o *Obeying) carryOut() {
	began, done := time.Now(), make(chan Rebuild, 1)
	o.work.Go(func() {
		r, err := o.rebuild(o.ctx)
		r.Name, r.State, r.TookMS = o.name, RebuildDone, time.Since(began).Milliseconds()
		if err != nil {
			r.State, r.Error = RebuildFailed, err.Error()
		}
		done <- r
	})
	tick := time.NewTicker(signOfLife)
	defer tick.Stop()
	for said := (Rebuild{Name: o.name, State: RebuildReading}); ; {
		select {
		case said = <-done:
		case <-tick.C:
		}
		o.mu.Lock()
		o.said = said
		for topic := range o.to {
			o.tell(topic, said)
		}
		o.mu.Unlock()
		if said.State != RebuildReading {
			return
		}
	}
}

func (o *Obeying) tell(topic string, r Rebuild) {
	if data, err := json.Marshal(rebuildMessage{V: version, Replica: o.replica, Rebuild: r}); err == nil {
		_ = o.nc.Publish(topic, data) // who asks finds that nothing comes
	}
}
