package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/curfewhq/curfew/events"
)

// collect prints the garbage collector's share of the processor time, while entries live and others are written: decoded from what the ledger would
// bring, so that there is the garbage that a real process has.
//
// It begins after a collection and ends after another: a share of less than a whole cycle would say nothing.
func collect(ctx context.Context, c *call) error {
	var r revocations
	var set kind
	rate := count(100_000)
	r.bind(c.flags)
	set.bind(c.flags)
	c.flags.Var(&rate, "rate", "how many are written in a second")
	lasts := c.flags.Duration("for", 10*time.Second, "for how long at least; at most three times that, if no collection ends sooner")
	if err := c.parse(); err != nil {
		return err
	}
	h, err := set.hold(ctx, r)
	if err != nil {
		return err
	}
	defer h.close()
	decode, err := newDecoder(int(r.n))
	if err != nil {
		return err
	}
	runtime.GC()
	before := readUsage()
	began := time.Now()
	written := 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for passed := time.Duration(0); ; passed = time.Since(began) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		// Not all at once after a pause, so that the end isn't passed over.
		due := min(int(passed.Seconds()*float64(rate))-written, max(int(rate)/100, 1))
		if err := h.write(due, decode.next); err != nil {
			return err
		}
		written += due
		if passed >= 3**lasts || passed >= *lasts && readUsage().cycles > before.cycles {
			break
		}
	}
	passed := time.Since(began)
	u := readUsage().since(before)
	if u.cycles == 0 {
		return fmt.Errorf("no collection in %v, so there is no share to tell: give -for more time", passed)
	}
	c.print("GC/entries="+r.n.String()+"/mix="+string(r.mix)+"/rate="+rate.String()+"/set="+string(set),
		figure{100 * u.gc / (u.total - u.idle), "%-of-used-CPU"}, figure{100 * u.gc / u.total, "%-of-all-CPU"},
		figure{1e3 * u.gc / float64(u.cycles), "CPU-ms/cycle"}, figure{float64(written) / passed.Seconds(), "writes/s"})
	return nil
}

// usage is processor time in seconds, as the runtime estimates it.
type usage struct {
	gc, idle, total float64
	cycles          uint64
}

func readUsage() usage {
	s := []metrics.Sample{
		{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}, {Name: "/cpu/classes/total:cpu-seconds"},
		{Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(s)
	return usage{s[0].Value.Float64(), s[1].Value.Float64(), s[2].Value.Float64(), s[3].Value.Uint64()}
}

func (u usage) since(v usage) usage {
	return usage{u.gc - v.gc, u.idle - v.idle, u.total - v.total, u.cycles - v.cycles}
}

// decoder makes events as the feed of a ledger does, from a message of which only the session is another each time.
type decoder struct {
	topic   string
	message []byte
	// at is where in the message the session's id is.
	at int
	// following is the number of the next session.
	following int
}

func newDecoder(from int) (*decoder, error) {
	id, err := events.NewID()
	if err != nil {
		return nil, err
	}
	e := &events.SessionRevoked{
		Common: events.Common{ID: id, Time: time.Now(), Source: "bench", Tenant: events.DefaultTenant, Reason: events.ReasonUserLogout,
			Initiator: events.Initiator{Type: events.InitiatorUser}},
		Session: sessionID(from), User: userID(from), Device: "device-" + sessionID(from)[8:], Client: "web",
	}
	message, err := events.Encode(e)
	if err != nil {
		return nil, err
	}
	at := bytes.Index(message, []byte(`"`+e.Session+`"`)) + 1
	if at == 0 {
		return nil, errors.New("the session's id isn't in the message")
	}
	return &decoder{events.TopicOf(e).String(), message, at, from}, nil
}

func (d *decoder) next() (events.Event, error) {
	putSessionID(d.message[d.at:d.at+32], uint64(d.following))
	d.following++
	return events.DecodeMessage(d.topic, d.message)
}
