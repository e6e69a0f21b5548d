package gate

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/ledger"
)

// streamed is a revocation as a stream tells it: what it takes to refuse sessions, and nothing that operators wrote for each other.
type streamed struct {
	Position uint64      `json:"position"`
	ID       string      `json:"id"`
	Scope    events.Kind `json:"scope"`
	// Session, User, Device and Client are those of the event. Which of them ends sessions the scope says; the others help to find conns.
	Session       string   `json:"session,omitempty"`
	User          string   `json:"user,omitempty"`
	Device        string   `json:"device,omitempty"`
	Client        string   `json:"client,omitempty"`
	CutoffMS      *int64   `json:"cutoff_ms,omitempty"`
	Except        []string `json:"except,omitempty"`
	KnownSessions []string `json:"known_sessions,omitempty"`

	Reason    events.Reason `json:"reason"`
	At        string        `json:"at"`
	ExpiresAt string        `json:"expires_at"`
}

// streamedOf returns the event of an entry, which may be forgotten after until.
func streamedOf(entry ledger.Entry, until time.Time) streamed {
	c := entry.Event.Meta()
	s := streamed{Position: entry.Position, ID: c.ID, Scope: entry.Event.Kind(), User: entry.Event.UserID(), Reason: c.Reason, At: instant(c.Time), ExpiresAt: instant(until)}
	if cutoff, ok := events.Cutoff(entry.Event); ok {
		s.CutoffMS = milliseconds(cutoff)
	}
	switch e := entry.Event.(type) {
	case *events.SessionRevoked:
		s.Session, s.Device, s.Client = e.Session, e.Device, e.Client
	case *events.UserLoggedOutEverywhere:
		s.Except, s.KnownSessions = e.Except, e.KnownSessions
	case *events.DeviceLoggedOut:
		s.Device = e.Device
	case *events.ClientLoggedOut:
		s.Client = e.Client
	}
	return s
}

// proof is a beat, as a stream tells it.
type proof struct {
	Position uint64 `json:"position"`
	// At is when it was stored, by the ledger's clock.
	At string `json:"at"`
}

// inSync is the first proof, with what it takes to answer for sessions.
type inSync struct {
	proof
	MaxAgeMS          int64 `json:"max_age_ms"`
	StalenessBudgetMS int64 `json:"staleness_budget_ms"`
	LeewayMS          int64 `json:"leeway_ms"`
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func milliseconds(t time.Time) *int64 {
	ms := events.Floor(t).UnixMilli()
	return &ms
}

// proof gathers a beat; the first says that the follower is synced.
func (f *follower) proof(e ledger.Entry) {
	p := proof{e.Position, instant(e.Stored)}
	if f.synced {
		f.append("beat", e.Position, p)
		return
	}
	replica := f.svc.cfg.Replica
	f.append("synced", e.Position, inSync{
		proof: p, MaxAgeMS: replica.MaxAge().Milliseconds(), StalenessBudgetMS: (replica.StalenessBudget() - f.svc.oldestBeat()).Milliseconds(),
		LeewayMS: replica.Leeway().Milliseconds(),
	})
}

// resetFrame gathers the frame that ends a stream which can't go on. Its empty id makes an EventSource that comes back by itself begin at the beginning.
func (f *follower) resetFrame() {
	f.buf = append(f.buf, "id:\nevent: reset\ndata: {\"position\":"...)
	f.buf = append(strconv.AppendUint(f.buf, f.after, 10), "}\n\n"...)
}

// append gathers a frame. Position 0 is that of no message, and leaves the reader's last one as it is.
func (f *follower) append(event string, position uint64, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		// Strings, numbers and lists of strings don't fail; a frame that is left out would be a revocation that nobody hears of, so the stream ends.
		f.broken = errors.Join(f.broken, err)
		return
	}
	if position > 0 {
		f.buf = append(strconv.AppendUint(append(f.buf, "id: "...), position, 10), '\n')
	}
	f.buf = append(append(append(f.buf, "event: "...), event...), "\ndata: "...)
	f.buf = append(append(f.buf, text...), "\n\n"...)
}

// retry gathers the field that tells when to come back once the stream has ended: at random, so that not all do together.
func (f *follower) retry(from, to time.Duration) {
	f.buf = append(strconv.AppendInt(append(f.buf, "retry: "...), (from+rand.N(to-from)).Milliseconds(), 10), "\n\n"...)
}
