package revocation_test

import (
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// Rule 9 of guarantees, section 4, for somebody who keeps what the replica keeps.
func TestReplicaKeepsUntil(t *testing.T) {
	const maxAge, leeway, day = 30 * 24 * time.Hour, 5 * time.Minute, 24 * time.Hour
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: revocationtest.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer replica.Close()
	if replica.MaxAge() != maxAge || replica.Leeway() != leeway {
		t.Fatalf("max age %v, leeway %v", replica.MaxAge(), replica.Leeway())
	}
	at := time.Date(2026, 8, 4, 12, 0, 0, 0, time.UTC)
	cutoff := at.Add(-time.Hour)
	common := func(change func(*events.Common)) events.Common {
		c := events.Common{Time: at, Tenant: "acme"}
		if change != nil {
			change(&c)
		}
		return c
	}
	until := func(end time.Time) func(*events.Common) { return func(c *events.Common) { c.ExpiresAt = end } }
	tests := []struct {
		name   string
		e      events.Event
		stored time.Time
		want   time.Time
	}{
		{"a session", &events.SessionRevoked{Common: common(nil)}, at, at.Add(maxAge + leeway)},
		{"a session with an end", &events.SessionRevoked{Common: common(nil), SessionExpiresAt: at.Add(day)}, at, at.Add(day + leeway)},
		{"a session whose end is past", &events.SessionRevoked{Common: common(nil), SessionExpiresAt: at.Add(-day)}, at, at.Add(maxAge + leeway)},
		{"a session that was stored late", &events.SessionRevoked{Common: common(nil)}, at.Add(day), at.Add(day + maxAge + leeway)},
		{"a replay", &events.SessionRevoked{Common: common(func(c *events.Common) { c.Replay = "r" })}, at.Add(day), at.Add(maxAge + leeway)},
		{"a longer date", &events.SessionRevoked{Common: common(until(at.Add(60 * day)))}, at, at.Add(60 * day)},
		{"a shorter date", &events.SessionRevoked{Common: common(until(at.Add(day)))}, at, at.Add(maxAge + leeway)},
		{"an unbelievable date", &events.SessionRevoked{Common: common(until(at.Add(9999 * day)))}, at, at.Add(24 * (maxAge + leeway))},
		{"a cutoff", &events.UserLoggedOutEverywhere{Common: common(nil), Cutoff: cutoff}, at, cutoff.Add(maxAge + leeway)},
		{"a cutoff and names", &events.UserLoggedOutEverywhere{Common: common(nil), Cutoff: cutoff, KnownSessions: []string{"s"}}, at, at.Add(maxAge + leeway)},
		{"a device", &events.DeviceLoggedOut{Common: common(nil), Cutoff: cutoff}, at, cutoff.Add(maxAge + leeway)},
		{"a client with a longer date", &events.ClientLoggedOut{Common: common(until(at.Add(60 * day))), Cutoff: cutoff}, at, at.Add(60 * day)},
		{"a tenant", &events.TenantLoggedOut{Common: common(nil), Cutoff: cutoff}, at, cutoff.Add(maxAge + leeway)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := replica.KeepsUntil(tt.e, tt.stored); !got.Equal(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
