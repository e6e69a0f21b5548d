package presence

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// ReportsTopic is where replicas report.
	ReportsTopic = "curfew.live.replica.reports"
	// AppliedTopic is where replicas say in short how far they are, because somebody waits.
	AppliedTopic = "curfew.live.replica.applied"
	// AwaitTopic is where replicas are told that somebody waits.
	AwaitTopic = "curfew.live.replica.await"

	// Interval is how often a replica reports that nobody waits for.
	Interval = time.Second
	// MaxBytes is far above what a message takes.
	MaxBytes = 4 << 10
	// MaxName is how many bytes a name, a group or a version may have.
	MaxName = 128

	version = 1
	// maxBudget is a bound for what is said of budgets, in milliseconds: a year.
	maxBudget = 365 * 24 * 60 * 60 * 1000
)

// ErrMalformed is returned for what isn't in form.
var ErrMalformed = errors.New("the message isn't in form")

// Report is what one replica says of itself at one moment.
type Report struct {
	// ID is the process's own, made anew at each start; of letters and digits. Name, Group and Version are for people: Name tells one process from another, Group is what they run,
	// as billing, and Version of what. Only Version may be empty.
	ID      string `json:"id"`
	Name    string `json:"name"`
	Group   string `json:"group"`
	Version string `json:"version,omitempty"`
	// Stream is the incarnation of the ledger that Position belongs to.
	Stream string `json:"stream"`
	// Position is how far the replica has applied the ledger.
	Position uint64 `json:"position"`
	// Fresh is whether it can answer active by its own budget. StalenessMS is the age of its proof, and negative if it has none.
	Fresh       bool  `json:"fresh"`
	StalenessMS int64 `json:"staleness_ms"`
	// BudgetMS is the oldest proof with which any of its routes answers active.
	BudgetMS int64 `json:"budget_ms"`
	// Leaving is true in the last report of a replica that stops in order.
	Leaving bool `json:"leaving,omitempty"`
}

// Lease is for how long after it was heard the report stands. See the package.
func (r Report) Lease() time.Duration { return Interval + time.Duration(r.BudgetMS)*time.Millisecond }

// Await says that somebody waits for replicas to have applied a position of an incarnation of the ledger.
type Await struct {
	Stream   string `json:"stream"`
	Position uint64 `json:"position"`
}

// Applied says how far one replica is, in short: who waits hears as many of them as there are replicas, for each revocation.
type Applied struct {
	// ID, Stream and Position are as in [Report].
	ID       string
	Stream   string
	Position uint64
}

// EncodeApplied returns the message: the form's version, id, position and stream, with a space between two; or ErrMalformed.
func EncodeApplied(a Applied) ([]byte, error) {
	if !a.inForm() {
		return nil, ErrMalformed
	}
	b := append(make([]byte, 0, len(a.ID)+len(a.Stream)+24), "1 "...)
	b = strconv.AppendUint(append(append(b, a.ID...), ' '), a.Position, 10)
	return append(append(b, ' '), a.Stream...), nil
}

// DecodeApplied reads a message; it returns ErrMalformed.
func DecodeApplied(data []byte) (Applied, error) {
	v, rest, _ := strings.Cut(string(data), " ")
	id, rest, _ := strings.Cut(rest, " ")
	position, stream, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(position, 10, 64)
	if a := (Applied{ID: id, Stream: stream, Position: n}); err == nil && v == "1" && a.inForm() {
		return a, nil
	}
	return Applied{}, ErrMalformed
}

func (a Applied) inForm() bool {
	return isID(a.ID) && a.Position > 0 && a.Stream != "" && len(a.Stream) <= MaxName
}

type reportMessage struct {
	V int `json:"v"`
	Report
}

type awaitMessage struct {
	V int `json:"v"`
	Await
}

// EncodeReport returns the message, or an error that wraps ErrMalformed and names what is wrong.
func EncodeReport(r Report) ([]byte, error) {
	if fault := r.fault(); fault != "" {
		return nil, fmt.Errorf("%w: %s", ErrMalformed, fault)
	}
	return json.Marshal(reportMessage{V: version, Report: r})
}

// DecodeReport reads a message; it returns ErrMalformed.
func DecodeReport(data []byte) (Report, error) {
	var m reportMessage
	if len(data) > MaxBytes || json.Unmarshal(data, &m) != nil || m.V != version || m.fault() != "" {
		return Report{}, ErrMalformed
	}
	return m.Report, nil
}

// EncodeAwait returns the message, or ErrMalformed.
func EncodeAwait(a Await) ([]byte, error) {
	if !a.inForm() {
		return nil, ErrMalformed
	}
	return json.Marshal(awaitMessage{V: version, Await: a})
}

// DecodeAwait reads a message; it returns ErrMalformed.
func DecodeAwait(data []byte) (Await, error) {
	var m awaitMessage
	if len(data) > MaxBytes || json.Unmarshal(data, &m) != nil || m.V != version || !m.inForm() {
		return Await{}, ErrMalformed
	}
	return m.Await, nil
}

func (a Await) inForm() bool { return a.Stream != "" && len(a.Stream) <= MaxName && a.Position > 0 }

// fault returns what is wrong, or nothing.
func (r Report) fault() string {
	switch {
	case !isID(r.ID):
		return "id must be 8 to 64 letters and digits"
	case r.Name == "" || !IsName(r.Name):
		return "name must be 1 to 128 bytes of printable UTF-8"
	case r.Group == "" || !IsName(r.Group):
		return "group must be 1 to 128 bytes of printable UTF-8"
	case !IsName(r.Version):
		return "version must be at most 128 bytes of printable UTF-8"
	case len(r.Stream) > MaxName:
		return "stream is too long"
	case r.BudgetMS <= 0 || r.BudgetMS > maxBudget:
		return "budget_ms must be between 1 and a year"
	}
	return ""
}

// IsName reports whether s may be a name, a group or a version; the empty string is among them.
func IsName(s string) bool {
	return len(s) <= MaxName && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func isID(s string) bool {
	return len(s) >= 8 && len(s) <= 64 && !strings.ContainsFunc(s, notAlphanumeric)
}
