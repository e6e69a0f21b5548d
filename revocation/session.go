package revocation

import (
	"time"

	"github.com/curfewhq/curfew/events"
)

// Session is the login session that a request belongs to, from claims that the caller has verified.
type Session struct {
	// Tenant is the isolation boundary. Empty means events.DefaultTenant.
	Tenant string
	// ID is the session id (sid): opaque, and unique within the tenant.
	ID string
	// User is the principal's immutable id (OIDC sub).
	User string
	// Device and Client are optional. A session without them isn't reached by revocations of a device or client.
	Device string
	Client string
	// AuthTime is when the user proved who they are; it doesn't move on refresh. It is compared in whole milliseconds,
	// floored. An auth time that the issuer gives in whole seconds is the start of that second, so a session begun in the same
	// second as a cutoff is over. Zero means missing.
	AuthTime time.Time
}

func (s Session) tenant() string {
	if s.Tenant == "" {
		return events.DefaultTenant
	}
	return s.Tenant
}

// millis floors t to whole milliseconds of Unix time, towards the past also before 1970.
func millis(t time.Time) int64 { return t.Unix()*1000 + int64(t.Nanosecond()/1e6) }
