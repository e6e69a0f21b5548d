package fanout

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
)

// TicketLifetime is how long a ticket can be used, once.
const TicketLifetime = 60 * time.Second

// passLifetime is how long a browser may open streams of notices by itself with what it was given for a ticket. It is good for nothing else, and a session that
// is over ends it.
const passLifetime = time.Hour

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
	// errTicketOld: what is known of used tickets doesn't go back as far.
	errTicketOld = errors.New("ticket is older than what is known of used ones: NATS was started anew")
	// errTicketUnknown: whether the ticket was used before can't be told now.
	errTicketUnknown = errors.New("used tickets can't be looked up")
)

// ticketResult names for the metric why a ticket was refused.
func ticketResult(err error) string {
	for _, r := range []struct {
		err  error
		name string
	}{
		{errTicketForged, "forged"}, {errTicketExpired, "expired"}, {errTicketEarly, "early"}, {errTicketOrigin, "other_origin"},
		{errTicketUsed, "used_before"}, {errTicketOld, "too_old"}, {errTicketUnknown, "unknown"},
	} {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return "malformed"
}

// ticket is what a ticket says. How it travels is in ticketform.go.
type ticket struct {
	ID      string
	Tenant  string
	User    string
	Session string
	Device  string
	Client  string
	// AuthTime, Expires and SessionExpires are Unix milliseconds; the last is the session's absolute end, and 0 if none was told.
	AuthTime       int64
	Expires        int64
	SessionExpires int64
	// Origin is the only origin from which it can be used; empty means any that is allowed.
	Origin string
}

func (t ticket) identity() *identity {
	return &identity{ends: t.SessionExpires, session: revocation.Session{
		Tenant: t.Tenant, ID: t.Session, User: t.User, Device: t.Device, Client: t.Client, AuthTime: time.UnixMilli(t.AuthTime),
	}}
}

// tickets issues and redeems tickets. Gateways that share the key and the bucket accept each other's, each once.
type tickets struct {
	// macs holds hashes under key, which cost more to make than to use.
	macs *sync.Pool
	// used holds the ids of used tickets; its entries live longer than a ticket.
	used jetstream.KeyValue
	// since tells how far back used goes; nil if to the beginning.
	since func(context.Context) (time.Time, error)
}

// newTickets returns tickets under a key. since may be nil.
func newTickets(key []byte, used jetstream.KeyValue, since func(context.Context) (time.Time, error)) tickets {
	return tickets{used: used, since: since, macs: &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// issue signs t after giving it an id and an end.
func (ts *tickets) issue(t ticket, now time.Time) (string, time.Time) {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	end := now.Add(TicketLifetime)
	t.ID, t.Expires = hex.EncodeToString(id), end.UnixMilli()
	return ts.seal(t.append(nil), forConn), end
}

// issuePass signs what a browser keeps as a cookie once it has exchanged a ticket for it: with it, it may open a stream of notices again and again, because it
// does that by itself.
func (ts *tickets) issuePass(t ticket, origin string, now time.Time) string {
	t.ID, t.Origin, t.Expires = "", origin, now.Add(passLifetime).UnixMilli()
	return ts.seal(t.append(nil), forStream)
}

// purpose is what a signed text is good for, and no other.
type purpose string

const (
	forConn   purpose = "conn\x00"
	forStream purpose = "pass\x00"
	// forName is for what names a stream in an acknowledgement.
	forName purpose = "name\x00"
)

// seal returns a text that holds body, and which nobody else can make.
func (ts *tickets) seal(body []byte, what purpose) string {
	enc := base64.RawURLEncoding
	return enc.EncodeToString(body) + "." + enc.EncodeToString(ts.mac(body, what))
}

func (ts *tickets) mac(body []byte, what purpose) []byte {
	m := ts.macs.Get().(hash.Hash)
	defer ts.macs.Put(m)
	m.Reset()
	_, _ = io.WriteString(m, string(what))
	_, _ = m.Write(body)
	return m.Sum(nil)
}

// unseal returns what a text holds, if seal has made it for that purpose.
func (ts *tickets) unseal(text string, what purpose) ([]byte, error) {
	head, tail, ok := strings.Cut(text, ".")
	// One ticket has one spelling: decoding is strict, but would still skip line breaks.
	if !ok || strings.ContainsAny(text, "\r\n") {
		return nil, errTicketForged
	}
	enc := base64.RawURLEncoding.Strict()
	body, err := enc.DecodeString(head)
	sum, err2 := enc.DecodeString(tail)
	if err != nil || err2 != nil || !hmac.Equal(sum, ts.mac(body, what)) {
		return nil, errTicketForged
	}
	return body, nil
}

// open verifies a ticket without using it up.
func (ts *tickets) open(text, origin string, now time.Time) (ticket, error) {
	return ts.verify(text, forConn, TicketLifetime, origin, now)
}

// openPass verifies what issuePass has made.
func (ts *tickets) openPass(text, origin string, now time.Time) (ticket, error) {
	return ts.verify(text, forStream, passLifetime, origin, now)
}

func (ts *tickets) verify(text string, what purpose, lifetime time.Duration, origin string, now time.Time) (ticket, error) {
	body, err := ts.unseal(text, what)
	if err != nil {
		return ticket{}, err
	}
	t, err := parseTicket(body)
	if err != nil {
		return ticket{}, err
	}
	switch {
	case now.UnixMilli() > t.Expires:
		return ticket{}, errTicketExpired
	case time.Duration(t.Expires-now.UnixMilli())*time.Millisecond > lifetime+ticketSkew:
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
	if ts.since != nil {
		since, err := ts.since(ctx)
		switch {
		case err != nil:
			return ticket{}, fmt.Errorf("%w: %w", errTicketUnknown, err)
		case t.Expires-TicketLifetime.Milliseconds() < since.UnixMilli():
			return ticket{}, errTicketOld
		}
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
