package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// ContentType is that of an encoded event (CloudEvents JSON format 1.0, section 3). It is also the value of the message's
// Content-Type header; there are no ce-* headers.
const ContentType = "application/cloudevents+json"

// MaxEncodedBytes bounds an encoded event. The largest valid event, 1,000 known sessions of 256 bytes, fits.
const MaxEncodedBytes = 1 << 20

const (
	typePrefix = "io.github.curfewhq."
	typeSuffix = ".v1"
	timeForm   = "2006-01-02T15:04:05.000Z"
)

// Type returns the CloudEvents type of an event, such as "io.github.curfewhq.SessionRevoked.v1".
func Type(e Event) string { return typePrefix + Name(e) + typeSuffix }

// Name returns the event's name in the contract, such as "SessionRevoked".
func Name(e Event) string { return e.name() }

func (*SessionRevoked) name() string          { return "SessionRevoked" }
func (*UserLoggedOutEverywhere) name() string { return "UserLoggedOutEverywhere" }
func (*DeviceLoggedOut) name() string         { return "DeviceLoggedOut" }
func (*ClientLoggedOut) name() string         { return "ClientLoggedOut" }
func (*TenantLoggedOut) name() string         { return "TenantLoggedOut" }

// newEvent returns an empty event of that name, or nil for a name that isn't one.
func newEvent(name string) Event {
	switch name {
	case "SessionRevoked":
		return &SessionRevoked{}
	case "UserLoggedOutEverywhere":
		return &UserLoggedOutEverywhere{}
	case "DeviceLoggedOut":
		return &DeviceLoggedOut{}
	case "ClientLoggedOut":
		return &ClientLoggedOut{}
	case "TenantLoggedOut":
		return &TenantLoggedOut{}
	}
	return nil
}

// instant is a time as it stands on the wire: RFC 3339, UTC, three fractional digits.
type instant time.Time

func (t instant) MarshalJSON() ([]byte, error) {
	return []byte(`"` + Floor(time.Time(t)).Format(timeForm) + `"`), nil
}

// IsZero is what omitzero asks: the zero time in any location is a time left out.
func (t instant) IsZero() bool { return time.Time(t).IsZero() }

var errNotTime = errors.New("isn't an RFC 3339 time")

// read takes an RFC 3339 time with any offset and any number of digits, floored to milliseconds.
// Leap seconds (23:59:60) are refused: time.Time has none.
func (t *instant) read(text []byte) error {
	if len(text) > 0 && text[len(text)-1] == 'z' || len(text) > len("2006-01-02") && text[len("2006-01-02")] == 't' {
		text = bytes.ToUpper(text) // as good (RFC 3339 section 5.6)
	}
	var parsed time.Time
	if parsed.UnmarshalText(text) != nil || !strictTime(text) {
		return errNotTime
	}
	*t = instant(Floor(parsed))
	return nil
}

// strictTime refuses what UnmarshalText lets pass beyond RFC 3339: hours of one digit, a comma before the fraction, and offsets
// of 24 hours or 60 minutes.
func strictTime(text []byte) bool {
	const hours, fraction = len("2006-01-02T15"), len("2006-01-02T15:04:05")
	if text[hours] != ':' || text[fraction] == ',' {
		return false
	}
	if text[len(text)-1] == 'Z' {
		return true
	}
	offset := text[len(text)-len("07:00"):]
	return string(offset[:2]) < "24" && string(offset[3:]) < "60"
}

// envelope is the CloudEvents 1.0 envelope. Its member order is the order on the wire.
type envelope struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Type            string          `json:"type"`
	Source          string          `json:"source"`
	Time            instant         `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	TraceParent     string          `json:"traceparent,omitempty"`
	Data            json.RawMessage `json:"data"`
}

// commonData is the part of data that all events share.
type commonData struct {
	Tenant      string    `json:"tenant"`
	Reason      Reason    `json:"reason"`
	ReasonAdmin string    `json:"reason_admin,omitempty"`
	ReasonUser  string    `json:"reason_user,omitempty"`
	Initiator   Initiator `json:"initiator"`
	ExpiresAt   instant   `json:"expires_at,omitzero"`
	Replayed    bool      `json:"replayed,omitempty"`
	Replay      string    `json:"replay,omitempty"`
}

type sessionData struct {
	Session          string  `json:"session"`
	User             string  `json:"user,omitempty"`
	Device           string  `json:"device,omitempty"`
	Client           string  `json:"client,omitempty"`
	AuthTime         instant `json:"auth_time,omitzero"`
	SessionExpiresAt instant `json:"session_expires_at,omitzero"`
	commonData
}

type userData struct {
	User          string   `json:"user"`
	Cutoff        instant  `json:"cutoff"`
	Except        []string `json:"except,omitempty"`
	KnownSessions []string `json:"known_sessions,omitempty"`
	commonData
}

type deviceData struct {
	Device string  `json:"device"`
	User   string  `json:"user,omitempty"`
	Cutoff instant `json:"cutoff"`
	commonData
}

type clientData struct {
	Client string  `json:"client"`
	Cutoff instant `json:"cutoff"`
	commonData
}

type tenantData struct {
	Cutoff instant `json:"cutoff"`
	commonData
}

func (c *Common) commonData() commonData {
	return commonData{
		Tenant: c.Tenant, Reason: c.Reason, ReasonAdmin: c.ReasonAdmin, ReasonUser: c.ReasonUser, Initiator: c.Initiator,
		ExpiresAt: instant(c.ExpiresAt), Replayed: c.Replay != "", Replay: c.Replay,
	}
}

func (e *SessionRevoked) data() any {
	return sessionData{
		Session: e.Session, User: e.User, Device: e.Device, Client: e.Client,
		AuthTime: instant(e.AuthTime), SessionExpiresAt: instant(e.SessionExpiresAt), commonData: e.commonData(),
	}
}

func (e *UserLoggedOutEverywhere) data() any {
	return userData{User: e.User, Cutoff: instant(e.Cutoff), Except: e.Except, KnownSessions: e.KnownSessions, commonData: e.commonData()}
}

func (e *DeviceLoggedOut) data() any {
	return deviceData{Device: e.Device, User: e.User, Cutoff: instant(e.Cutoff), commonData: e.commonData()}
}

func (e *ClientLoggedOut) data() any {
	return clientData{Client: e.Client, Cutoff: instant(e.Cutoff), commonData: e.commonData()}
}

func (e *TenantLoggedOut) data() any {
	return tenantData{Cutoff: instant(e.Cutoff), commonData: e.commonData()}
}

// mostMembers is how many members there are in data, at most.
const mostMembers = 16

// members appends to all the members of data, and where Decode puts them. replayed has no field of its own. It is one function, and no method of each
// event, so that the list needs no memory of its own.
func members(e Event, replayed *bool, all []member) []member {
	switch e := e.(type) {
	case *SessionRevoked:
		all = append(all,
			member{"session", &e.Session}, member{"user", &e.User}, member{"device", &e.Device}, member{"client", &e.Client},
			member{"auth_time", (*instant)(&e.AuthTime)}, member{"session_expires_at", (*instant)(&e.SessionExpiresAt)},
		)
	case *UserLoggedOutEverywhere:
		all = append(all,
			member{"user", &e.User}, member{"cutoff", (*instant)(&e.Cutoff)},
			member{"except", &e.Except}, member{"known_sessions", &e.KnownSessions},
		)
	case *DeviceLoggedOut:
		all = append(all, member{"device", &e.Device}, member{"user", &e.User}, member{"cutoff", (*instant)(&e.Cutoff)})
	case *ClientLoggedOut:
		all = append(all, member{"client", &e.Client}, member{"cutoff", (*instant)(&e.Cutoff)})
	case *TenantLoggedOut:
		all = append(all, member{"cutoff", (*instant)(&e.Cutoff)})
	}
	c := e.Meta()
	return append(all,
		member{"tenant", &c.Tenant}, member{"reason", (*string)(&c.Reason)}, member{"reason_admin", &c.ReasonAdmin},
		member{"reason_user", &c.ReasonUser}, member{"initiator", &c.Initiator}, member{"expires_at", (*instant)(&c.ExpiresAt)},
		member{"replayed", replayed}, member{"replay", &c.Replay},
	)
}

// Encode validates e and returns it as one CloudEvents 1.0 JSON object without a trailing newline. Equal events give
// equal bytes. The error is an [*InvalidError].
func Encode(e Event) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	data, err := marshal(e.data())
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", Name(e), err)
	}
	m := e.Meta()
	return marshal(envelope{
		SpecVersion: "1.0", ID: m.ID, Type: Type(e), Source: m.Source, Time: instant(m.Time),
		DataContentType: "application/json", TraceParent: m.TraceParent, Data: data,
	})
}

// marshal leaves <, > and & as they are: the bytes never stand in HTML, and ids should read as they were given.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Decode reads one event and validates it. Unknown members are ignored; null, "" and an empty list are the same as left out.
// It returns
//
//   - an [*UnsupportedError] (ErrUnknownType, ErrUnknownVersion) for what a newer or foreign writer wrote,
//   - an error that wraps ErrMalformed for bytes that aren't such an envelope, or that two readers could read differently
//     (a member that stands there twice, strings that aren't Unicode),
//   - an [*InvalidError] for an event that breaks a rule of this package.
//
// None of them quotes a value from the event, but for the type in an UnsupportedError. The event doesn't alias b.
func Decode(b []byte) (Event, error) {
	if len(b) > MaxEncodedBytes {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, MaxEncodedBytes)
	}
	var text scanner
	if err := text.scan(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var env struct { // in one piece of memory
		version, kind, content rawText
		time                   instant
		id, source, trace      string
		data                   place
		replayed               bool
	}
	err := text.readObject(0,
		member{"specversion", &env.version}, member{"id", &env.id}, member{"type", &env.kind}, member{"source", &env.source}, member{"time", &env.time},
		member{"datacontenttype", &env.content}, member{"traceparent", &env.trace}, member{"data", &env.data},
	)
	if err != nil {
		return nil, fmt.Errorf("%w: envelope: %w", ErrMalformed, err)
	}
	if string(env.version) != "1.0" {
		return nil, fmt.Errorf("%w: specversion must be 1.0", ErrMalformed)
	}
	e, err := eventOf(env.kind)
	if err != nil {
		return nil, err
	}
	if len(env.content) > 0 && string(env.content) != "application/json" {
		return nil, fmt.Errorf("%w: datacontenttype must be application/json", ErrMalformed)
	}
	m := e.Meta()
	m.ID, m.Time, m.Source, m.TraceParent = env.id, time.Time(env.time), env.source, env.trace
	var list [mostMembers]member
	if env.data == 0 {
		return nil, fmt.Errorf("%w: data of %s: not an object", ErrMalformed, Name(e))
	}
	if err := text.readObject(int(env.data), members(e, &env.replayed, list[:0])...); err != nil {
		return nil, fmt.Errorf("%w: data of %s: %w", ErrMalformed, Name(e), err)
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	if env.replayed != (m.Replay != "") {
		return nil, &InvalidError{Faults: []FieldFault{{Field: "replay", Remedy: "must stand together with replayed: true, or be left out with it"}}}
	}
	return e, nil
}

// eventOf takes "io.github.curfewhq.<Name>.v1" apart and returns an empty event of that name.
func eventOf(kind rawText) (Event, error) {
	if len(kind) == 0 {
		return nil, fmt.Errorf("%w: type is required", ErrMalformed)
	}
	rest, ours := bytes.CutPrefix(kind, []byte(typePrefix))
	name, version, dotted := bytes.Cut(rest, []byte("."))
	e := newEvent(string(name))
	if !ours || !dotted || e == nil {
		return nil, &UnsupportedError{Type: shorten(string(kind)), Cause: ErrUnknownType}
	}
	if "."+string(version) != typeSuffix {
		return nil, &UnsupportedError{Type: shorten(string(kind)), Cause: ErrUnknownVersion}
	}
	return e, nil
}

// shorten cuts s to at most 128 bytes and never within a character.
func shorten(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// DecodeMessage is Decode for a message of the ledger: it also holds the event to its topic. Permissions on topics are what keeps one tenant's
// publishers out of another's, so an event that names another tenant than its topic is refused with ErrForeignTopic.
func DecodeMessage(topic string, b []byte) (Event, error) {
	e, err := Decode(b)
	if err != nil {
		return nil, err
	}
	if !TopicOf(e).is(topic) {
		return nil, ErrForeignTopic
	}
	return e, nil
}
