package revocation

import (
	"context"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/events"
)

// common returns the common fields of an event whose id is made of n.
func common(n int, at time.Time) events.Common {
	return events.Common{
		ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", n), Time: at, Source: "test", Tenant: events.DefaultTenant,
		Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
	}
}

func tenantOut(tenant string, cutoff time.Time) *events.TenantLoggedOut {
	c := common(0, cutoff)
	c.Tenant = tenant
	return &events.TenantLoggedOut{Common: c, Cutoff: cutoff}
}

func everywhere(n int, cutoff time.Time, except ...string) *events.UserLoggedOutEverywhere {
	return &events.UserLoggedOutEverywhere{Common: common(n, cutoff), User: "ada", Cutoff: cutoff, Except: except}
}

func sessionOut(n int, sid string, at time.Time) *events.SessionRevoked {
	return &events.SessionRevoked{Common: common(n, at), Session: sid}
}

// bare returns a replica that follows nothing, and the sink to feed it by hand: synced with an empty stream, and fresh.
func bare(cfg Config) (*Replica, *sink) {
	r := newReplica(cfg.withDefaults())
	s := &sink{r: r, ctx: context.Background()}
	_, _ = s.Begin(Head{Stream: "s@1"})
	r.fresh.prove(time.Now(), time.Now())
	return r, s
}

// told is what an ending tells.
type told struct {
	scope  Scope
	reason events.Reason
	pos    pos
}

// lookup returns the ending of a session, without what else a Check does.
func (s *set) lookup(of *Session) (told, bool) {
	q := search{set: s, of: of}
	q.begin()
	by := q.ending()
	if !by.exists() {
		return told{}, false
	}
	return told{by.scope(), reasonOf(by.why.cause()), by.why.pos()}, true
}
