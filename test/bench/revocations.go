package main

import (
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
)

// revocations are made up: n of them, the last one at until, and the others spread over the days before, so that they expire one after the other as
// those of a ledger do.
type revocations struct {
	n     count
	mix   mix
	until time.Time
}

// spread is less than max age, beyond which a replica needn't keep what it is told.
const spread = 29 * 24 * time.Hour

// bind defines the flags that say which.
func (r *revocations) bind(flags *flag.FlagSet) {
	r.n, r.mix, r.until = 1_000_000, "sessions", time.Now()
	flags.Var(&r.n, "entries", "how many revocations live: a number, as 10k, 1M or 500000")
	flags.Var(&r.mix, "mix", "sessions, or mixed: one of ten is a user's cutoff, and one of ten of those excepts a session")
}

// at returns when event i, from 0, was stored.
func (r *revocations) at(i int) time.Time {
	return r.until.Add(-spread + time.Duration(float64(spread)*float64(i+1)/float64(r.n))).Truncate(time.Millisecond)
}

// event returns event i, a new one each time, as decoding does.
func (r *revocations) event(i int) events.Event {
	common := events.Common{Time: r.at(i), Source: "bench", Tenant: events.DefaultTenant, Reason: events.ReasonUserLogout,
		Initiator: events.Initiator{Type: events.InitiatorUser}}
	if r.mix != "mixed" || i%10 != 0 {
		return &events.SessionRevoked{Common: common, Session: sessionID(i)}
	}
	e := &events.UserLoggedOutEverywhere{Common: common, User: userID(i), Cutoff: common.Time}
	if i%100 == 0 {
		e.Except = []string{sessionID(int(r.n) + i)}
	}
	return e
}

// sessionID and userID are about as long as an identity provider's.
func sessionID(i int) string {
	var b [32]byte
	putSessionID(b[:], uint64(i))
	return string(b[:])
}

// putSessionID writes 32 hexadecimal digits.
func putSessionID(b []byte, i uint64) {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], i)
	binary.BigEndian.PutUint64(raw[8:], i*7919)
	hex.Encode(b, raw[:])
}

func userID(i int) string { return "auth0|" + sessionID(i)[8:] }

// count is a flag: a number with k or M.
type count int

func (c *count) String() string {
	switch n := int(*c); {
	case n > 0 && n%1_000_000 == 0:
		return strconv.Itoa(n/1_000_000) + "M"
	case n > 0 && n%1000 == 0:
		return strconv.Itoa(n/1000) + "k"
	default:
		return strconv.Itoa(n)
	}
}

func (c *count) Set(s string) error {
	digits, unit := s, 1
	for suffix, n := range map[string]int{"k": 1000, "M": 1_000_000} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			digits, unit = rest, n
		}
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n <= 0 || n > 1_000_000_000/unit {
		return fmt.Errorf("%q isn't a number like 10k, 1M or 500000", s)
	}
	*c = count(n * unit)
	return nil
}

// mix is a flag.
type mix string

func (m *mix) String() string { return string(*m) }

func (m *mix) Set(s string) error {
	if s != "sessions" && s != "mixed" {
		return fmt.Errorf("%q is neither sessions nor mixed", s)
	}
	*m = mix(s)
	return nil
}
