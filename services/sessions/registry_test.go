package sessions_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/services/sessions"
)

func TestRegister(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		d := newDesk(t, b, open, sessions.Timing{IdleTimeout: time.Hour, Notice: time.Minute}, nil)
		before := events.Floor(time.Now())
		minted := d.register(t, `{"user":"ada-`+planted+`"}`)
		if len(minted.Session) != 32 || minted.AuthTime.Before(before) || minted.AuthTime.UnixMilli() != minted.AuthTimeMS {
			t.Errorf("minted: %+v", minted)
		}
		if got := minted.ExpiresAt.Sub(minted.AuthTime); got != maxAge || minted.IdleTimeoutMS != time.Hour.Milliseconds() {
			t.Errorf("it ends after %v, idle after %d ms", got, minted.IdleTimeoutMS)
		}
		old := before.Add(-24 * time.Hour)
		given := `{"session":"s-` + planted + `","user":"ada","device":"d-1","client":"web","auth_time_ms":` + strconv.FormatInt(old.UnixMilli(), 10) +
			`,"expires_at":"` + before.Add(time.Hour).Format(time.RFC3339Nano) + `"}`
		want := sessions.Registered{
			Session: "s-" + planted, User: "ada", Device: "d-1", Client: "web", AuthTime: old, AuthTimeMS: old.UnixMilli(), ExpiresAt: before.Add(time.Hour), IdleTimeoutMS: time.Hour.Milliseconds(),
		}
		first := d.register(t, given)
		if diff := cmp.Diff(want, first, cmpopts.IgnoreFields(sessions.Registered{}, "CreatedAt")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// Whatever it says then.
		if diff := cmp.Diff(first, d.register(t, `{"session":"s-`+planted+`","user":"ada","device":"other"}`)); diff != "" {
			t.Errorf("again (-first +again):\n%s", diff)
		}
		if len(d.told(gateways.HintChanged, "")) != 2 {
			t.Errorf("told %d times that there is another session, want 2", len(d.told(gateways.HintChanged, "")))
		}
	})
}

func TestRegisterRefuses(t *testing.T) {
	b := ledgerBus(t)
	d := newDesk(t, b, kv(b), sessions.Timing{}, nil)
	d.register(t, `{"session":"s-1","user":"ada"}`)
	d.publish(t, b, &events.SessionRevoked{Common: common(t, events.ReasonAdmin), Session: "s-2"})
	for _, test := range []struct {
		name, body string
		status     int
		field      string
	}{
		{"nobody", `{}`, 422, "user"},
		{"a control character", `{"user":"a\u0000"}`, 422, "user"},
		{"a long device", `{"user":"a","device":"` + strings.Repeat("x", 257) + `"}`, 422, "device"},
		{"a session that begins tomorrow", `{"user":"a","auth_time_ms":` + ms(time.Now().Add(24*time.Hour)) + `}`, 422, "auth_time_ms"},
		{"seconds for milliseconds", `{"user":"a","auth_time_ms":` + strconv.FormatInt(time.Now().Unix(), 10) + `}`, 422, "auth_time_ms"},
		{"a session that has ended", `{"user":"a","expires_at":"2020-01-01T00:00:00Z"}`, 422, "expires_at"},
		{"an address with a port", `{"user":"a","ip":"203.0.113.7:80"}`, 422, "ip"},
		{"another user's", `{"session":"s-1","user":"eve"}`, 409, "session_of_another_user"},
		{"a revoked one", `{"session":"s-2","user":"ada"}`, 409, "session_ended"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got struct {
				Code   string
				Errors []struct{ Field, Detail string }
			}
			status := d.call(t, http.MethodPost, "/v1/sessions", test.body, &got)
			if status != test.status || test.status == 409 && got.Code != test.field || test.status == 422 && (len(got.Errors) != 1 || got.Errors[0].Field != test.field) {
				t.Errorf("%d %+v", status, got)
			}
		})
	}
}

// TestSignInAfterLogoutEverywhere works at once, also where the clock of who has stamped the cutoff is ahead (trap 20).
func TestSignInAfterLogoutEverywhere(t *testing.T) {
	b := ledgerBus(t)
	d := newDesk(t, b, kv(b), sessions.Timing{}, nil)
	for i := range 50 {
		user := "u-" + strconv.Itoa(i%3)
		ahead := []time.Duration{0, time.Millisecond, 999 * time.Millisecond, 4 * time.Second}[i%4]
		cutoff := events.Floor(time.Now()).Add(ahead)
		d.publish(t, b, &events.UserLoggedOutEverywhere{Common: common(t, events.ReasonUserLogout), User: user, Cutoff: cutoff})
		got := d.register(t, `{"user":"`+user+`"}`)
		if !got.AuthTime.After(cutoff) || got.AuthTime.After(time.Now().Add(6*time.Second)) {
			t.Errorf("auth time %v, cutoff %v", got.AuthTime, cutoff)
		}
		if dec := d.replica.Check(revocation.Session{Tenant: "acme", ID: got.Session, User: user, AuthTime: got.AuthTime}); dec.State != revocation.Active {
			t.Fatalf("turn %d: %v (%v)", i, dec.State, dec.Cause)
		}
	}
}

func TestList(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		d := newDesk(t, b, open, sessions.Timing{}, nil)
		d.follow(t, b)
		const firefox = `Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0`
		d.register(t, `{"session":"s-1","user":"ada","device":"laptop","user_agent":"`+firefox+`","ip":"203.0.113.77"}`)
		d.register(t, `{"session":"s-2","user":"ada","device":"laptop","user_agent":"`+firefox+`","ip":"2001:db8:1:2::7"}`)
		d.register(t, `{"session":"s-3","user":"ada","user_agent":"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"}`)
		d.register(t, `{"session":"s-4","user":"ada"}`)
		d.register(t, `{"session":"other","user":"eve"}`)
		// One that is ended by name, and one that a client's logout ends, which nobody notes session by session.
		d.register(t, `{"session":"s-5","user":"ada","client":"old-app"}`)
		ended := common(t, events.ReasonCompromised)
		d.publish(t, b, &events.SessionRevoked{Common: ended, Session: "s-4"})
		d.publish(t, b, &events.ClientLoggedOut{Common: common(t, events.ReasonPolicy), Client: "old-app", Cutoff: events.Floor(time.Now())})
		var list sessions.List
		await(t, "the end is noted", func() bool {
			var view sessions.View
			d.call(t, http.MethodGet, "/v1/sessions/s-4", "", &view)
			return view.EndedAt.Equal(ended.Time) && view.Reason == events.ReasonCompromised && view.User == "ada"
		})
		if status := d.call(t, http.MethodGet, "/v1/users/ada/sessions?current=s-2", "", &list); status != http.StatusOK {
			t.Fatal(status)
		}
		// In one millisecond more than one may be registered.
		byID := map[string]sessions.View{}
		for _, v := range list.Sessions {
			byID[v.Session] = v
		}
		linux := sessions.View{Session: "s-1", Device: "laptop", Name: "Firefox on Linux", Browser: "Firefox", OS: "Linux", Form: "desktop", IP: "203.0.113.0/24", State: sessions.StateActive}
		also := linux
		also.Session, also.IP, also.Current = "s-2", "2001:db8:1::/48", true
		want := map[string]sessions.View{
			"s-1": linux, "s-2": also,
			"s-3": {Session: "s-3", Name: "Safari on iOS", Browser: "Safari", OS: "iOS", Form: "mobile", State: sessions.StateActive},
			"s-4": {Session: "s-4", Name: "Unknown device", Form: "unknown", State: sessions.StateEnded, Reason: events.ReasonCompromised, EndedAt: ended.Time},
			"s-5": {Session: "s-5", Client: "old-app", Name: "Unknown device", Form: "unknown", State: sessions.StateEnded, Reason: events.ReasonPolicy},
		}
		if diff := cmp.Diff(want, byID, cmpopts.IgnoreFields(sessions.View{}, "AuthTime", "CreatedAt", "LastSeenAt", "ExpiresAt")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(list.Devices) != 4 || list.More {
			t.Errorf("devices %+v, more %v", list.Devices, list.More)
		}
		var alive sessions.List
		d.call(t, http.MethodGet, "/v1/users/ada/sessions?ended=false&limit=2", "", &alive)
		if len(alive.Sessions) != 2 || !alive.More || alive.Sessions[0].State != sessions.StateActive {
			t.Errorf("alive: %+v, more %v", alive.Sessions, alive.More)
		}
	})
}

// TestListTellsOfIdleness: until when each session goes on without input, counted from its last touch or from when the timeout began to hold; nothing of those that are over.
func TestListTellsOfIdleness(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		const idle = 30 * time.Minute
		since := events.Floor(time.Now())
		d := newDesk(t, b, open, sessions.Timing{IdleTimeout: idle, Notice: time.Minute, Since: since}, nil)
		before := since.Add(-24 * time.Hour) // nobody had to touch then
		old := sessionstore.Session{Tenant: "acme", ID: "old", User: "ada", AuthTime: before, CreatedAt: before, SeenAt: before, ExpiresAt: before.Add(maxAge)}
		if _, _, err := d.store.Create(t.Context(), old, since.Add(idle)); err != nil {
			t.Fatal(err)
		}
		registered := d.register(t, `{"session":"s-1","user":"ada"}`)
		brief := d.register(t, `{"session":"brief","user":"ada","expires_at":"`+since.Add(time.Minute).Format(time.RFC3339Nano)+`"}`)
		d.register(t, `{"session":"over","user":"ada"}`)
		d.publish(t, b, &events.SessionRevoked{Common: common(t, events.ReasonAdmin), Session: "over"})
		told := func() map[string]time.Time {
			t.Helper()
			var list sessions.List
			if status := d.call(t, http.MethodGet, "/v1/users/ada/sessions", "", &list); status != http.StatusOK {
				t.Fatal(status)
			}
			at := map[string]time.Time{}
			for _, v := range list.Sessions {
				at[v.Session] = v.IdleExpiresAt
				var one sessions.View
				d.call(t, http.MethodGet, "/v1/sessions/"+v.Session, "", &one)
				if !one.IdleExpiresAt.Equal(v.IdleExpiresAt) {
					t.Errorf("%s: %v in the list, %v alone", v.Session, v.IdleExpiresAt, one.IdleExpiresAt)
				}
			}
			return at
		}
		want := map[string]time.Time{"old": since.Add(idle), "s-1": registered.CreatedAt.Add(idle), "brief": brief.ExpiresAt, "over": {}}
		if diff := cmp.Diff(want, told()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		await(t, "the clock's next millisecond", func() bool { return events.Floor(time.Now()).After(registered.CreatedAt) })
		var touched sessions.TouchResult
		if status := d.call(t, http.MethodPost, "/v1/sessions/s-1/touch", "", &touched); status != http.StatusOK {
			t.Fatal(status)
		}
		want["s-1"] = touched.IdleExpiresAt
		if diff := cmp.Diff(want, told()); diff != "" || !touched.IdleExpiresAt.After(registered.CreatedAt.Add(idle)) {
			t.Errorf("after a touch, by which it ends at %v (-want +got):\n%s", touched.IdleExpiresAt, diff)
		}
	})
}

// TestNotes: what the ledger says of a user's sessions, and of a device's, is noted; others are left alone.
func TestNotes(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		d := newDesk(t, b, open, sessions.Timing{}, nil)
		d.follow(t, b)
		for _, body := range []string{
			`{"session":"a","user":"ada"}`, `{"session":"b","user":"ada"}`, `{"session":"c","user":"ada","device":"tv"}`, `{"session":"d","user":"eve"}`,
		} {
			d.register(t, body)
		}
		d.publish(t, b, &events.DeviceLoggedOut{Common: common(t, events.ReasonAdmin), Device: "tv", User: "ada", Cutoff: events.Floor(time.Now())})
		ended := func(id string) bool {
			var v sessions.View
			d.call(t, http.MethodGet, "/v1/sessions/"+id, "", &v)
			return !v.EndedAt.IsZero()
		}
		await(t, "the device's session is noted", func() bool { return ended("c") })
		// One is excepted, and one that is named has begun after the cutoff.
		d.publish(t, b, &events.UserLoggedOutEverywhere{
			Common: common(t, events.ReasonUserLogout), User: "ada", Cutoff: events.Floor(time.Now()).Add(-time.Hour), KnownSessions: []string{"b"},
		})
		await(t, "the named session is noted", func() bool { return ended("b") })
		d.publish(t, b, &events.UserLoggedOutEverywhere{Common: common(t, events.ReasonUserLogout), User: "ada", Cutoff: events.Floor(time.Now()), Except: []string{"a"}})
		d.publish(t, b, &events.SessionRevoked{Common: common(t, events.ReasonAdmin), Session: "nobody's"})
		d.publish(t, b, &events.SessionRevoked{Common: common(t, events.ReasonAdmin), Session: "d"})
		await(t, "what came last is noted", func() bool { return ended("d") })
		if ended("a") {
			t.Error("a session that was excepted is noted as ended")
		}
	})
}
