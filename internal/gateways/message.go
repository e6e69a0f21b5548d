package gateways

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
)

const (
	// version of the formats.
	version = 1
	// maxMessageBytes bounds what is sent in one message, or less where the server takes less.
	maxMessageBytes = 512 << 10
	// maxQuestionBytes is far above two ids, however they are escaped.
	maxQuestionBytes = 4 << 10
	// maxList is how many tabs, changes or acknowledgements a message holds at most.
	maxList = 1_000
	// maxNameBytes bounds names and versions of gateways.
	maxNameBytes = 256
	// idBytes is the length of a gateway's id.
	idBytes = 32
)

var errForm = errors.New("not in form")

// question asks for the tabs of a user.
type question struct {
	V      int    `json:"v"`
	Tenant string `json:"tenant"`
	User   string `json:"user"`
}

func (q question) fault() string {
	if fault := events.TenantFault(q.Tenant); fault != "" {
		return "tenant " + fault
	}
	if fault := events.IDFault(q.User); fault != "" {
		return "user " + fault
	}
	return ""
}

// answerHead is an answer without its tabs.
type answerHead struct {
	V       int    `json:"v"`
	Gateway string `json:"gateway"`
	Name    string `json:"name"`
}

// unknown reports whether it doesn't say in form whose answer it is.
func (a answerHead) unknown() bool { return !isID(a.Gateway) || !isName(a.Name) }

type answer struct {
	answerHead
	Tabs []Tab `json:"tabs"`
	More bool  `json:"more"`
}

// batchHead is a message of changes or acknowledgements without those.
type batchHead struct {
	V       int    `json:"v"`
	Gateway string `json:"gateway"`
}

type changes struct {
	batchHead
	Changes []Change `json:"changes"`
}

type acks struct {
	batchHead
	Acks []Ack `json:"acks"`
}

// entry is what a gateway says of itself in the register; its id is the key.
type entry struct {
	V       int       `json:"v"`
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Conns   int       `json:"conns"`
}

// decode reads one message. What it returns wraps errForm, and quotes nothing.
func decode(data []byte, into interface{ version() int }) error {
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%w: it isn't JSON of this format", errForm)
	}
	if v := into.version(); v != version {
		return fmt.Errorf("%w: version %d", errForm, v)
	}
	return nil
}

func (q *question) version() int   { return q.V }
func (a *answerHead) version() int { return a.V }
func (b *batchHead) version() int  { return b.V }
func (e *entry) version() int      { return e.V }

func decodeQuestion(data []byte) (q question, err error) {
	if len(data) > maxQuestionBytes {
		return q, fmt.Errorf("%w: it is too large", errForm)
	}
	if err := decode(data, &q); err != nil {
		return q, err
	}
	if q.fault() != "" {
		return q, errForm
	}
	return q, nil
}

func decodeAnswer(data []byte) (a answer, err error) {
	if err := decode(data, &a); err != nil {
		return a, err
	}
	if a.unknown() || len(a.Tabs) > maxList {
		return a, errForm
	}
	for _, t := range a.Tabs {
		if !t.inForm() {
			return a, errForm
		}
	}
	return a, nil
}

// decodeChanges leaves out what isn't in form, and counts it.
func decodeChanges(data []byte) (list []Change, bad int, err error) {
	var c changes
	if err := decode(data, &c); err != nil {
		return nil, 0, err
	}
	if !isID(c.Gateway) || len(c.Changes) > maxList {
		return nil, 0, errForm
	}
	for _, change := range c.Changes {
		if events.TenantFault(change.Tenant) != "" || events.IDFault(change.User) != "" || change.Since.IsZero() {
			bad++
			continue
		}
		change.Gateway = c.Gateway
		list = append(list, change)
	}
	return list, bad, nil
}

// decodeAcks leaves out what isn't in form, and counts it.
func decodeAcks(data []byte) (list []Ack, bad int, err error) {
	var a acks
	if err := decode(data, &a); err != nil {
		return nil, 0, err
	}
	if !isID(a.Gateway) || len(a.Acks) > maxList {
		return nil, 0, errForm
	}
	for _, ack := range a.Acks {
		if !ack.inForm() {
			bad++
			continue
		}
		ack.Gateway = a.Gateway
		list = append(list, ack)
	}
	return list, bad, nil
}

func (t Tab) inForm() bool {
	return events.IDFault(t.Session) == "" && (t.Device == "" || events.IDFault(t.Device) == "") && !t.Since.IsZero() &&
		len(t.Transport) <= 32 && strings.Trim(string(t.Transport), "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func (a Ack) inForm() bool {
	return isOutcome(a.Outcome) && events.TenantFault(a.Tenant) == "" && len(a.Event) == 36 && uuid.Validate(a.Event) == nil && !a.At.IsZero() && a.Conn != 0
}

func isOutcome(o tab.Outcome) bool {
	return o == tab.OutcomeSignedOut || o == tab.OutcomeAlready || o == tab.OutcomeIgnored
}

func isID(s string) bool { return len(s) == idBytes && strings.Trim(s, "0123456789abcdef") == "" }

// isName takes the empty string too.
func isName(s string) bool { return s == "" || len(s) <= maxNameBytes && events.IDFault(s) == "" }

// encode writes v without escaping what only HTML would mind, which makes ids up to six times as long.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// listing writes an object that ends with a list, item by item, as long as they fit.
type listing struct {
	buf   []byte
	limit int
	n     int
}

// moreTail ends a list that doesn't hold all.
const moreTail = `],"more":true}`

// newListing begins with the members of head, which has some.
func newListing(head any, list string, limit int) (*listing, error) {
	b, err := encode(head)
	if err != nil {
		return nil, err
	}
	b = append(b[:len(b)-1], `,"`+list+`":[`...)
	return &listing{buf: b, limit: limit}, nil
}

// add reports whether the item has found room.
func (l *listing) add(item []byte) bool {
	if l.n == maxList || len(l.buf)+1+len(item)+len(moreTail) > l.limit {
		return false
	}
	if l.n > 0 {
		l.buf = append(l.buf, ',')
	}
	l.buf = append(l.buf, item...)
	l.n++
	return true
}

func (l *listing) end(more bool) []byte {
	if more {
		return append(l.buf, moreTail...)
	}
	return append(l.buf, `]}`...)
}

// batches calls send with messages that hold the items, in their order, and stops where it fails. It returns how many items are done with, and how many of
// those were left out because they can't be written or are too large for a message of their own.
func batches[T any](gateway, list string, items []T, limit int, send func([]byte) error) (done, unfit int, err error) {
	head := batchHead{V: version, Gateway: gateway}
	l, err := newListing(head, list, limit)
	if err != nil {
		return 0, 0, err
	}
	skipped := 0
	for i, item := range items {
		b, err := encode(item)
		if err != nil {
			skipped++
			continue
		}
		if l.add(b) {
			continue
		}
		if l.n > 0 {
			if err := send(l.end(false)); err != nil {
				return done, unfit, err
			}
			done, unfit = i, skipped
			if l, err = newListing(head, list, limit); err != nil {
				return done, unfit, err
			}
			if l.add(b) {
				continue
			}
		}
		skipped++
	}
	if l.n > 0 {
		if err := send(l.end(false)); err != nil {
			return done, unfit, err
		}
	}
	return len(items), skipped, nil
}

// limitOf is the size of the largest message that may be sent over nc.
func limitOf(nc *nats.Conn) int {
	if n := nc.MaxPayload(); n > 0 && n < maxMessageBytes {
		return int(n)
	}
	return maxMessageBytes
}
