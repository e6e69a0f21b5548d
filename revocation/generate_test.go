package revocation

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
)

// epoch is where the generated times lie around, a whole second.
var epoch = time.Now().Add(-time.Hour).Truncate(time.Second)

// Few ids, the same for every kind, so that scopes meet; and such that joining tenant, kind and id in most ways makes some of them equal.
var (
	genTenant = rapid.SampledFrom([]string{"default", "a", "a-user", "user"})
	genID     = rapid.SampledFrom([]string{"a", "b", "ab", "user-a", "a/user", "user", "1a", "default", "ü"})
	genMaybe  = rapid.SampledFrom([]string{"", "a", "b", "ab", "user", "default"})
	// Around two cutoffs that are a second apart: the same millisecond, its neighbours, the same second, and what lies between
	// milliseconds.
	genTime = rapid.Custom(func(t *rapid.T) time.Time {
		offset := rapid.SampledFrom([]time.Duration{
			-time.Second, -time.Millisecond, -1, 0, 1, 999_999, time.Millisecond, time.Millisecond + 1, 500 * time.Millisecond,
			999 * time.Millisecond, time.Second - 1, time.Second, time.Second + 1, time.Second + time.Millisecond, 2 * time.Second,
		}).Draw(t, "offset")
		return epoch.Add(offset)
	})
	// Ends are far enough to lengthen now and then, or wrong: in the past, or about when the event happens.
	genExpiry = rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "without end") {
			return time.Time{}
		}
		days := rapid.SampledFrom([]int{-40, -1, 0, 1, 31, 60}).Draw(t, "days")
		return genTime.Draw(t, "about").Add(time.Duration(days) * 24 * time.Hour)
	})
	// Auth times of events are right, or wrong by days.
	genAuthTime = rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "without auth time") {
			return time.Time{}
		}
		days := rapid.SampledFrom([]int{-40, -29, 0, 0, 29}).Draw(t, "days")
		return genTime.Draw(t, "about").Add(time.Duration(days) * 24 * time.Hour)
	})
)

var genSession = rapid.Custom(func(t *rapid.T) Session {
	s := Session{
		Tenant: genTenant.Draw(t, "tenant"), ID: genMaybe.Draw(t, "id"), User: genMaybe.Draw(t, "user"),
		Device: genMaybe.Draw(t, "device"), Client: genMaybe.Draw(t, "client"), AuthTime: genTime.Draw(t, "auth time"),
	}
	if s.Tenant == events.DefaultTenant && rapid.Bool().Draw(t, "tenant left out") {
		s.Tenant = ""
	}
	if rapid.IntRange(0, 9).Draw(t, "auth time left out") == 0 {
		s.AuthTime = time.Time{}
	}
	return s
})

var genSessions = rapid.SliceOfN(genSession, 1, 30)

// genEvents draws events with ids of their own.
var genEvents = rapid.Custom(func(t *rapid.T) []events.Event {
	list := make([]events.Event, rapid.IntRange(0, 25).Draw(t, "events"))
	for i := range list {
		list[i] = drawEvent(t, i)
	}
	return list
})

func drawEvent(t *rapid.T, n int) events.Event {
	c := events.Common{
		ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", n), Time: genTime.Draw(t, "time"), Source: "test", Tenant: genTenant.Draw(t, "tenant"),
		Reason: rapid.SampledFrom(events.Reasons()).Draw(t, "reason"), Initiator: events.Initiator{Type: events.InitiatorAdmin},
		ExpiresAt: genExpiry.Draw(t, "expires at"),
	}
	switch rapid.SampledFrom([]string{"session", "user", "user", "user", "device", "client", "tenant"}).Draw(t, "kind") {
	case "session":
		return &events.SessionRevoked{
			Common: c, Session: genID.Draw(t, "session"), AuthTime: genAuthTime.Draw(t, "auth time"),
			SessionExpiresAt: genExpiry.Draw(t, "session expires"),
		}
	case "user":
		e := &events.UserLoggedOutEverywhere{Common: c, User: genID.Draw(t, "user"), Cutoff: genTime.Draw(t, "cutoff")}
		e.Except = rapid.SliceOfN(genID, 0, 3).Draw(t, "except")
		for _, sid := range rapid.SliceOfN(genID, 0, 2).Draw(t, "known") {
			// An event that both names and spares a session isn't valid.
			if !contains(e.Except, sid) {
				e.KnownSessions = append(e.KnownSessions, sid)
			}
		}
		return e
	case "device":
		return &events.DeviceLoggedOut{Common: c, Device: genID.Draw(t, "device"), Cutoff: genTime.Draw(t, "cutoff")}
	case "client":
		return &events.ClientLoggedOut{Common: c, Client: genID.Draw(t, "client"), Cutoff: genTime.Draw(t, "cutoff")}
	}
	return &events.TenantLoggedOut{Common: c, Cutoff: genTime.Draw(t, "cutoff")}
}

func contains(ids []string, id string) bool {
	for _, other := range ids {
		if other == id {
			return true
		}
	}
	return false
}
