package events

import (
	"time"

	"github.com/google/uuid"
)

// Kind is the scope of a revocation: what the event's target is the id of. It is the last part of the event's topic.
type Kind string

// The five kinds. There is no other scope.
const (
	KindSession Kind = "session"
	KindUser    Kind = "user"
	KindDevice  Kind = "device"
	KindClient  Kind = "client"
	KindTenant  Kind = "tenant"
)

// Kinds returns the five kinds in the order in which Check asks for them.
func Kinds() []Kind { return []Kind{KindSession, KindUser, KindDevice, KindClient, KindTenant} }

// Reason says why sessions are over, for machines. The zero value is invalid.
type Reason string

// The reasons. A reader meets only these: Decode refuses others, because a new reason is a new version.
const (
	ReasonUserLogout        Reason = "user_logout"
	ReasonAdmin             Reason = "admin"
	ReasonPasswordChanged   Reason = "password_changed"
	ReasonCredentialChanged Reason = "credential_changed" //nolint:gosec // the name of a reason
	ReasonAccountDisabled   Reason = "account_disabled"
	ReasonAccountDeleted    Reason = "account_deleted"
	ReasonCompromised       Reason = "compromised"
	ReasonIdleTimeout       Reason = "idle_timeout"
	ReasonMaxAge            Reason = "max_age"
	ReasonPolicy            Reason = "policy"
	ReasonIDPLogout         Reason = "idp_logout"
	ReasonSuperseded        Reason = "superseded"
)

// Reasons returns all reasons, in the order of the contract.
func Reasons() []Reason {
	return []Reason{
		ReasonUserLogout, ReasonAdmin, ReasonPasswordChanged, ReasonCredentialChanged, ReasonAccountDisabled,
		ReasonAccountDeleted, ReasonCompromised, ReasonIdleTimeout, ReasonMaxAge, ReasonPolicy, ReasonIDPLogout, ReasonSuperseded,
	}
}

// InitiatorType says what kind of actor caused a revocation.
type InitiatorType string

// The initiator types, those of CAEP 1.0's initiating_entity.
const (
	InitiatorUser   InitiatorType = "user"
	InitiatorAdmin  InitiatorType = "admin"
	InitiatorPolicy InitiatorType = "policy"
	InitiatorSystem InitiatorType = "system"
)

// Initiator is who caused a revocation. ID is optional and opaque; it never reaches a browser.
type Initiator struct {
	Type InitiatorType `json:"type"`
	ID   string        `json:"id,omitempty"`
}

// DefaultTenant is the tenant of deployments that have only one.
const DefaultTenant = "default"

// Common is what every event carries. Fields without a note are required.
type Common struct {
	// ID is a UUIDv7 in lower case, unique per event.
	ID string
	// Time is when the publisher accepted the revocation, by its own clock.
	Time time.Time
	// Source names the publisher, a URI reference such as "curfew/publisher" (CloudEvents 1.0, source).
	Source string
	// Tenant is the isolation boundary: 1 to 63 of [a-z0-9-].
	Tenant string
	Reason Reason
	// ReasonAdmin is optional free text for operators, at most 500 bytes. It never reaches a browser.
	ReasonAdmin string
	// ReasonUser is optional free text for the person whose session ends, at most 500 bytes.
	ReasonUser string
	Initiator  Initiator
	// ExpiresAt is when the revocation may be forgotten. Zero leaves it to each reader's max age. A reader keeps an entry
	// at least as long as its own rules say, so a date here can lengthen and never shorten.
	ExpiresAt time.Time
	// TraceParent is an optional W3C trace context.
	TraceParent string
	// Replay is set on a copy of an earlier event that an operator sent again, and names the replay. Empty otherwise.
	// State is the same either way; browsers aren't told of replays.
	Replay string
}

// Event is one of the five events. It can't be implemented outside this package.
type Event interface {
	// Meta returns the common fields. They are the event's own, not a copy.
	Meta() *Common
	// Kind is the scope.
	Kind() Kind
	// Target is the id that Kind speaks of: a session, user, device, client or tenant id.
	Target() string
	// UserID is the user that the event names, or "" if it names none.
	UserID() string
	// Validate returns nil, or an [*InvalidError] that lists every fault.
	Validate() error

	// Unexported, so that a struct that embeds an event can't change what is written.
	name() string
	data() any
}

// SessionRevoked says that exactly one session is over. Session and the common fields are required; the rest helps
// readers to find conns (User, Device, Client) and to forget in time (AuthTime, SessionExpiresAt).
type SessionRevoked struct {
	Common
	Session string
	User    string
	Device  string
	Client  string
	// AuthTime is when the user proved who they are. Zero means unknown.
	AuthTime time.Time
	// SessionExpiresAt is the session's own absolute end: one that doesn't move when a rolling session is renewed. Zero means
	// unknown. Readers believe it only while it lies ahead of Time; a session that was revoked was still alive.
	SessionExpiresAt time.Time
}

// UserLoggedOutEverywhere says that the user's sessions with auth time ≤ Cutoff are over, but for those in Except.
type UserLoggedOutEverywhere struct {
	Common
	User   string
	Cutoff time.Time
	// Except lists at most 16 session ids that this event doesn't end; another event may.
	Except []string
	// KnownSessions lists at most 1,000 session ids that were known to be the user's. They end by name, whatever their
	// auth time claims. None of them may stand in Except too.
	KnownSessions []string
}

// DeviceLoggedOut says that the device's sessions with auth time ≤ Cutoff are over, whoever's they are. User is optional, and only helps to
// find the event and the tabs to tell: it doesn't narrow what ends.
type DeviceLoggedOut struct {
	Common
	Device string
	User   string
	Cutoff time.Time
}

// ClientLoggedOut says that all sessions of an OAuth client with auth time ≤ Cutoff are over.
type ClientLoggedOut struct {
	Common
	Client string
	Cutoff time.Time
}

// TenantLoggedOut says that everybody's sessions in the tenant with auth time ≤ Cutoff are over.
type TenantLoggedOut struct {
	Common
	Cutoff time.Time
}

// Meta returns the common fields of the event; changing them changes the event.
func (c *Common) Meta() *Common { return c }

// Kind returns [KindSession].
func (*SessionRevoked) Kind() Kind { return KindSession }

// Kind returns [KindUser].
func (*UserLoggedOutEverywhere) Kind() Kind { return KindUser }

// Kind returns [KindDevice].
func (*DeviceLoggedOut) Kind() Kind { return KindDevice }

// Kind returns [KindClient].
func (*ClientLoggedOut) Kind() Kind { return KindClient }

// Kind returns [KindTenant].
func (*TenantLoggedOut) Kind() Kind { return KindTenant }

// Target returns the session id.
func (e *SessionRevoked) Target() string { return e.Session }

// Target returns the user id.
func (e *UserLoggedOutEverywhere) Target() string { return e.User }

// Target returns the device id.
func (e *DeviceLoggedOut) Target() string { return e.Device }

// Target returns the client id.
func (e *ClientLoggedOut) Target() string { return e.Client }

// Target returns the tenant.
func (e *TenantLoggedOut) Target() string { return e.Tenant }

// UserID returns the session's user, "" if unknown.
func (e *SessionRevoked) UserID() string { return e.User }

// UserID returns the user.
func (e *UserLoggedOutEverywhere) UserID() string { return e.User }

// UserID returns the device's user, "" if unknown.
func (e *DeviceLoggedOut) UserID() string { return e.User }

// UserID returns "": the event names no user.
func (*ClientLoggedOut) UserID() string { return "" }

// UserID returns "": the event names no user.
func (*TenantLoggedOut) UserID() string { return "" }

// Cutoff returns the event's cutoff, and false for [SessionRevoked], which has none.
func Cutoff(e Event) (time.Time, bool) {
	switch e := e.(type) {
	case *UserLoggedOutEverywhere:
		return e.Cutoff, true
	case *DeviceLoggedOut:
		return e.Cutoff, true
	case *ClientLoggedOut:
		return e.Cutoff, true
	case *TenantLoggedOut:
		return e.Cutoff, true
	}
	return time.Time{}, false
}

// NewID returns a fresh UUIDv7 (RFC 9562 section 5.7), whose order follows time.
func NewID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	return id.String(), nil
}

// Floor returns t in UTC, cut down to the whole millisecond: the precision of every time in an event. It floors towards the
// past also before 1970, and leaves the zero time zero.
func Floor(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
