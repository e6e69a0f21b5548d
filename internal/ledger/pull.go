package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// readAhead and readAheadBytes bound what is sent to us before it is asked for: the first suits messages of some hundred bytes, and the second keeps a reading's memory flat where they
	// are large. Two requests at most are under way.
	readAhead      = 4000
	readAheadBytes = 2 << 20
	// pullExpires is how long the server keeps a request open, and pullHeartbeat how often it says that it does while there is nothing.
	pullExpires, pullHeartbeat = 30 * time.Second, 5 * time.Second
)

// errQuiet is returned when nothing has come for as long as one was ready to wait, though the server is there.
var errQuiet = errors.New("nothing has come")

// puller gets a consumer's messages. It does what nats.go's iterator does, whose buffer has no room for the server's own words among as many messages as were asked for: it dropped one of
// them when its reader was slow. It isn't safe for concurrent use.
type puller struct {
	conn *nats.Conn
	sub  *nats.Subscription
	// sent has room for all that was asked for and for what the server says beside.
	sent    chan *nats.Msg
	subject string
	batch   int
	bytes   int
	// expected is how many messages are asked for and haven't come.
	expected int
}

// newPuller subscribes to what a consumer will send. subject is where its next messages are asked for.
func newPuller(conn *nats.Conn, subject string, batch int) (*puller, error) {
	sent := make(chan *nats.Msg, 2*batch+100)
	sub, err := conn.ChanSubscribe(conn.NewInbox(), sent)
	if err != nil {
		return nil, err
	}
	return &puller{conn: conn, sub: sub, sent: sent, subject: subject, batch: batch, bytes: int(max(readAheadBytes, 2*conn.MaxPayload()))}, nil
}

func (p *puller) stop() { _ = p.sub.Unsubscribe() } // the server forgets it with the connection

// next returns the next message, or errQuiet when none has come for patience.
func (p *puller) next(ctx context.Context, patience time.Duration) (*nats.Msg, error) {
	var until time.Time // since nothing was there
	for {
		if p.expected <= p.batch/2 {
			if err := p.ask(p.batch - p.expected); err != nil {
				return nil, err
			}
		}
		var msg *nats.Msg
		select {
		case msg = <-p.sent:
		default:
			if until.IsZero() {
				until = time.Now().Add(patience)
			}
			var err error
			if msg, err = p.wait(ctx, until); err != nil {
				return nil, err
			}
		}
		if msg.Reply != "" { // the server's own words have none
			p.expected--
			return msg, nil
		}
		if err := p.told(msg); err != nil {
			return nil, err
		}
	}
}

// wait waits for a message, or a word of the server.
func (p *puller) wait(ctx context.Context, until time.Time) (*nats.Msg, error) {
	quiet, silent := time.NewTimer(time.Until(until)), time.NewTimer(2*pullHeartbeat+time.Second)
	defer quiet.Stop()
	defer silent.Stop()
	select {
	case msg := <-p.sent:
		return msg, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-quiet.C:
		return nil, errQuiet
	case <-silent.C:
		return nil, errors.New("the server says nothing")
	}
}

// ask asks for n messages.
func (p *puller) ask(n int) error {
	request, err := json.Marshal(map[string]any{"batch": n, "max_bytes": p.bytes, "expires": pullExpires.Nanoseconds(), "idle_heartbeat": pullHeartbeat.Nanoseconds()})
	if err != nil {
		return err
	}
	p.expected += n
	return p.conn.PublishRequest(p.subject, p.sub.Subject, request)
}

// told takes the server's own words: a sign of life, or that a request is over, with how many of its messages don't come.
func (p *puller) told(msg *nats.Msg) error {
	status := msg.Header.Get("Status")
	if status == "100" {
		return nil
	}
	missing, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages"))
	if err != nil {
		return fmt.Errorf("%s %s", status, msg.Header.Get("Description"))
	}
	p.expected = max(p.expected-missing, 0)
	return nil
}
