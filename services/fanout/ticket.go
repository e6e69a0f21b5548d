package fanout

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
)

// TicketLifetime is how long a ticket can be used, once.
const TicketLifetime = 60 * time.Second

// ticketSkew is how far the clock of the gateway that issued a ticket may be ahead of ours. A ticket that lived for longer than the bucket keeps
// its id could be used again.
const ticketSkew = TicketLifetime / 2

// Errors of redeeming a ticket. A tab is told only that its ticket was refused.
var (
	errTicketForged  = errors.New("ticket isn't one of ours")
	errTicketExpired = errors.New("ticket has expired")
	errTicketEarly   = errors.New("ticket comes from the future: compare the gateways' clocks")
	errTicketOrigin  = errors.New("ticket is bound to another origin")
	errTicketUsed    = errors.New("ticket was used before")
	// errTicketUnknown: whether the ticket was used before can't be told now.
	errTicketUnknown = errors.New("used tickets can't be looked up")
)

// ticket is what a ticket says. Names are short because it travels in a frame.
type ticket struct {
	ID      string `json:"i"`
	Tenant  string `json:"t"`
	User    string `json:"u"`
	Session string `json:"s"`
	Device  string `json:"d,omitempty"`
	Client  string `json:"c,omitempty"`
	// AuthTime, Expires and SessionExpires are Unix milliseconds; the last is the session's absolute end, and 0 if none was told.
	AuthTime       int64 `json:"a"`
	Expires        int64 `json:"e"`
	SessionExpires int64 `json:"x,omitempty"`
	// Origin is the only origin from which it can be used; empty means any that is allowed.
	Origin string `json:"o,omitempty"`
}

func (t ticket) session() revocation.Session {
	return revocation.Session{
		Tenant: t.Tenant, ID: t.Session, User: t.User, Device: t.Device, Client: t.Client, AuthTime: time.UnixMilli(t.AuthTime),
	}
}

// tickets issues and redeems tickets. Gateways that share the key and the bucket accept each other's, each once.
type tickets struct {
	key []byte
	// used holds the ids of used tickets; its entries live longer than a ticket.
	used jetstream.KeyValue
}

// issue signs t after giving it an id and an end.
func (ts *tickets) issue(t ticket, now time.Time) (string, time.Time, error) {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	end := now.Add(TicketLifetime)
	t.ID, t.Expires = hex.EncodeToString(id), end.UnixMilli()
	// With its ids as they are, the longest ticket fits into a hello: escaped for HTML, as json.Marshal does, it wouldn't.
	var buf bytes.Buffer
	js := json.NewEncoder(&buf)
	js.SetEscapeHTML(false)
	if err := js.Encode(t); err != nil {
		return "", time.Time{}, fmt.Errorf("encode ticket: %w", err)
	}
	body, enc := buf.Bytes(), base64.RawURLEncoding
	return enc.EncodeToString(body) + "." + enc.EncodeToString(ts.mac(body)), end, nil
}

func (ts *tickets) mac(body []byte) []byte {
	m := hmac.New(sha256.New, ts.key)
	m.Write(body)
	return m.Sum(nil)
}

// open verifies a ticket without using it up.
func (ts *tickets) open(text, origin string, now time.Time) (ticket, error) {
	head, tail, ok := strings.Cut(text, ".")
	// One ticket has one spelling: decoding is strict, but would still skip line breaks.
	if !ok || strings.ContainsAny(text, "\r\n") {
		return ticket{}, errTicketForged
	}
	enc := base64.RawURLEncoding.Strict()
	body, err := enc.DecodeString(head)
	sum, err2 := enc.DecodeString(tail)
	if err != nil || err2 != nil || !hmac.Equal(sum, ts.mac(body)) {
		return ticket{}, errTicketForged
	}
	var t ticket
	if json.Unmarshal(body, &t) != nil {
		return ticket{}, errTicketForged
	}
	switch {
	case now.UnixMilli() > t.Expires:
		return ticket{}, errTicketExpired
	case time.Duration(t.Expires-now.UnixMilli())*time.Millisecond > TicketLifetime+ticketSkew:
		return ticket{}, errTicketEarly
	case t.Origin != "" && t.Origin != origin:
		return ticket{}, errTicketOrigin
	}
	return t, nil
}

// redeem verifies a ticket and uses it up, for all gateways.
func (ts *tickets) redeem(ctx context.Context, text, origin string) (ticket, error) {
	t, err := ts.open(text, origin, time.Now())
	if err != nil {
		return ticket{}, err
	}
	_, err = ts.used.Create(ctx, t.ID, nil)
	switch {
	case errors.Is(err, jetstream.ErrKeyExists):
		return ticket{}, errTicketUsed
	case err != nil:
		return ticket{}, fmt.Errorf("%w: %w", errTicketUnknown, err)
	}
	return t, nil
}
