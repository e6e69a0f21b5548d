package replicas

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/internal/bus"
)

// GroupForm is the form of a group's name.
const GroupForm = `^[a-z0-9-]{1,63}$`

// States of a rebuild.
const (
	RebuildReading = "reading"
	RebuildDone    = "done"
	RebuildFailed  = "failed"
)

const (
	// acceptance is how long a replica has to say that it has heard an order.
	acceptance = 2 * time.Second
	// signOfLife is how often a replica that reads says so, and silence after how long without it isn't waited for any more.
	signOfLife = 2 * time.Second
	silence    = 5 * signOfLife
	// maxOrders is how many orders wait at a replica.
	maxOrders = 16
)

// Rebuild is what one replica says of an order to read the ledger anew.
type Rebuild struct {
	// Name is the process's, for people.
	Name  string `json:"name"`
	State string `json:"state"`
	// Same is whether it held before what it has read, and Digest that of what it holds now, at Position: with what the ledger has lost.
	Same     bool   `json:"same,omitempty"`
	Digest   string `json:"digest,omitempty"`
	Position uint64 `json:"position,omitempty"`
	// TookMS is how long it took.
	TookMS int64 `json:"took_ms,omitempty"`
	// Error is why it has failed.
	Error string `json:"error,omitempty"`
}

// order tells the replicas of a group to read the ledger anew. One that has heard of it before, by its id, answers and does nothing again.
type order struct {
	V     int    `json:"v"`
	ID    string `json:"id"`
	Group string `json:"group"`
}

// rebuildMessage is a Rebuild as a message. Replica tells replicas apart, whatever they are called.
type rebuildMessage struct {
	V       int    `json:"v"`
	Replica string `json:"replica"`
	Rebuild
}

// Order has the replicas of a group read the ledger anew, and calls told with what each says, whenever one says something, until all that have answered are through or are silent, or ctx ends. Who
// hasn't answered within 2 s is taken not to be there. An order that is given again, under the same id, asks what has become of it. It returns what was said last, by
// name: at least by one, or ErrNobody.
func Order(ctx context.Context, nc *nats.Conn, id, group string, told func([]Rebuild)) ([]Rebuild, error) {
	if !regexp.MustCompile(GroupForm).MatchString(group) || id == "" || len(id) > 64 {
		return nil, fmt.Errorf("replicas: %w", ErrInvalid)
	}
	data, err := json.Marshal(order{V: version, ID: id, Group: group})
	if err != nil {
		return nil, fmt.Errorf("replicas: %w", err)
	}
	answers := make(chan *nats.Msg, maxAnswers)
	topic := bus.LiveAnswerTopic(rand.Text())
	sub, err := nc.ChanSubscribe(topic, answers)
	if err != nil {
		return nil, fmt.Errorf("replicas: order: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only where there is nothing to end
	if err := nc.PublishRequest(bus.LiveRebuildTopic, topic, data); err != nil {
		return nil, fmt.Errorf("replicas: order: %w", err)
	}
	g := gathering{began: time.Now(), heard: map[string]heard{}}
	tick := time.NewTicker(acceptance / 4)
	defer tick.Stop()
	for {
		select {
		case msg := <-answers:
			if g.take(msg) {
				told(g.list())
			}
		case <-tick.C:
		case <-ctx.Done():
			return g.list(), context.Cause(ctx)
		}
		if over, err := g.over(); over {
			return g.list(), err
		}
	}
}

// ErrNobody is returned where no replica of the group has answered.
var ErrNobody = errors.New("no replica of the group has answered")

// errSilent is what is written of a replica that has said nothing for a while.
const errSilent = "it reads, or did, and has said nothing for a while: ask 'curfew doctor' on its machine"

type heard struct {
	Rebuild
	at time.Time
}

// gathering is what was heard of an order. heard: replica → what it said last.
type gathering struct {
	began time.Time
	heard map[string]heard
}

// take reports whether it is an answer.
func (g *gathering) take(msg *nats.Msg) bool {
	var m rebuildMessage
	if len(msg.Data) > maxMessageBytes || json.Unmarshal(msg.Data, &m) != nil || m.V != version || m.Replica == "" {
		return false
	}
	g.heard[m.Replica] = heard{m.Rebuild, time.Now()}
	return true
}

func (g *gathering) over() (bool, error) {
	if time.Since(g.began) < acceptance {
		return false, nil
	}
	if len(g.heard) == 0 {
		return true, ErrNobody
	}
	for replica, h := range g.heard {
		if h.State == RebuildReading && time.Since(h.at) > silence {
			h.State, h.Error = RebuildFailed, errSilent
			g.heard[replica] = h
		}
		if h.State == RebuildReading {
			return false, nil
		}
	}
	return true, nil
}

func (g *gathering) list() []Rebuild {
	list := make([]Rebuild, 0, len(g.heard))
	for _, h := range g.heard {
		list = append(list, h.Rebuild)
	}
	slices.SortFunc(list, func(a, b Rebuild) int { return strings.Compare(a.Name, b.Name) })
	return list
}
