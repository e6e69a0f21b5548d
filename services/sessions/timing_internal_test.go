package sessions

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/revocation"
)

func TestJudge(t *testing.T) {
	begun := time.Date(2026, 8, 4, 9, 0, 0, 0, time.UTC)
	idle := Timing{MaxAge: 24 * time.Hour, IdleTimeout: 30 * time.Minute, Notice: time.Minute}
	never := Timing{MaxAge: 24 * time.Hour, Notice: time.Minute}
	alive := sessionstore.Session{AuthTime: begun, SeenAt: begun, ExpiresAt: begun.Add(24 * time.Hour)}
	with := func(change func(*sessionstore.Session)) sessionstore.Session { s := alive; change(&s); return s }
	warned := with(func(s *sessionstore.Session) { s.Warned = true })
	pending := with(func(s *sessionstore.Session) {
		s.Ended = &sessionstore.End{At: begun, Reason: events.ReasonIdleTimeout, Event: "e"}
	})
	active := revocation.Decision{State: revocation.Active}
	undetermined := revocation.Decision{State: revocation.Undetermined, Cause: errors.New("stale")}
	byClient := revocation.Decision{State: revocation.Revoked, Scope: revocation.ScopeClient, Reason: events.ReasonPolicy, EventPosition: 7}
	byAge := revocation.Decision{State: revocation.Revoked, Scope: revocation.ScopeMaxAge, Reason: events.ReasonMaxAge}
	for _, test := range []struct {
		name    string
		timing  Timing
		session sessionstore.Session
		after   time.Duration
		d       revocation.Decision
		want    verdict
	}{
		{"young", idle, alive, 28 * time.Minute, active, verdict{step: wait, at: begun.Add(29 * time.Minute)}},
		{"about to be idle", idle, alive, 29 * time.Minute, active, verdict{step: warn, at: begun.Add(30 * time.Minute), reason: events.ReasonIdleTimeout}},
		{"warned", idle, warned, 29 * time.Minute, active, verdict{step: wait, at: begun.Add(30 * time.Minute)}},
		{"idle", idle, warned, 30 * time.Minute, active, verdict{step: claim, at: begun.Add(30 * time.Minute), reason: events.ReasonIdleTimeout}},
		{"idle and never warned", idle, alive, time.Hour, active, verdict{step: claim, at: begun.Add(time.Hour), reason: events.ReasonIdleTimeout}},
		{"nobody can tell", idle, warned, time.Hour, undetermined, verdict{step: wait, at: begun.Add(time.Hour + askAgain)}},
		{"over already", idle, alive, time.Hour, byClient, verdict{step: note, at: begun.Add(time.Hour), reason: events.ReasonPolicy, position: 7}},
		{"never idle", never, alive, 23 * time.Hour, active, verdict{step: wait, at: begun.Add(24*time.Hour - time.Minute)}},
		{"about to be old", never, alive, 24*time.Hour - time.Minute, active, verdict{step: warn, at: begun.Add(24 * time.Hour), reason: events.ReasonMaxAge}},
		{"old", never, warned, 24 * time.Hour, byAge, verdict{step: claim, at: begun.Add(24 * time.Hour), reason: events.ReasonMaxAge}},
		{"claimed a moment ago", idle, pending, 10 * time.Second, active, verdict{step: wait, at: begun.Add(claimTime)}},
		{"claimed a while ago", idle, pending, time.Minute, active, verdict{step: publish, at: begun.Add(time.Minute), reason: events.ReasonIdleTimeout}},
		{"claimed and published", idle, pending, time.Minute, byClient, verdict{step: note, at: begun.Add(time.Minute), reason: events.ReasonPolicy, position: 7}},
		{"ended", idle, with(func(s *sessionstore.Session) { s.Ended = &sessionstore.End{At: begun, Position: 3} }), time.Hour, active, verdict{step: wait}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.timing.judge(test.session, begun.Add(test.after), func() revocation.Decision { return test.d }); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// TestIdleExpires: what people are told is when the sweeper claims the session, and not a moment before.
func TestIdleExpires(t *testing.T) {
	begun := time.Date(2026, 8, 4, 9, 0, 0, 0, time.UTC)
	idle := Timing{MaxAge: 24 * time.Hour, IdleTimeout: 30 * time.Minute, Notice: time.Minute}
	since := idle
	since.Since = begun.Add(time.Hour)
	for _, test := range []struct {
		name    string
		timing  Timing
		session sessionstore.Session
		want    time.Time
	}{
		{"no idle timeout", Timing{MaxAge: 24 * time.Hour}, sessionstore.Session{AuthTime: begun, SeenAt: begun, ExpiresAt: begun.Add(24 * time.Hour)}, time.Time{}},
		{"touched", idle, sessionstore.Session{AuthTime: begun, SeenAt: begun.Add(time.Hour), ExpiresAt: begun.Add(24 * time.Hour)}, begun.Add(90 * time.Minute)},
		{"touched before the timeout held", since, sessionstore.Session{AuthTime: begun, SeenAt: begun, ExpiresAt: begun.Add(24 * time.Hour)}, begun.Add(90 * time.Minute)},
		{"touched since it holds", since, sessionstore.Session{AuthTime: begun, SeenAt: begun.Add(2 * time.Hour), ExpiresAt: begun.Add(24 * time.Hour)}, begun.Add(150 * time.Minute)},
		{"its own end comes first", idle, sessionstore.Session{AuthTime: begun, SeenAt: begun, ExpiresAt: begun.Add(10 * time.Minute)}, begun.Add(10 * time.Minute)},
		{"max age comes first", idle, sessionstore.Session{AuthTime: begun, SeenAt: begun.Add(24*time.Hour - time.Minute), ExpiresAt: begun.Add(48 * time.Hour)}, begun.Add(24 * time.Hour)},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.timing.idleExpires(test.session)
			if !got.Equal(test.want) {
				t.Fatalf("got %v, want %v", got, test.want)
			}
			if got.IsZero() {
				return
			}
			active := func() revocation.Decision { return revocation.Decision{State: revocation.Active} }
			if v := test.timing.judge(test.session, got.Add(-time.Millisecond), active); v.step != warn || !v.at.Equal(got) {
				t.Errorf("a moment before: %+v, want a warning of %v", v, got)
			}
			if v := test.timing.judge(test.session, got, active); v.step != claim {
				t.Errorf("at that time: %+v, want a claim", v)
			}
		})
	}
}

// TestJudgeNeverEarly: whatever the timing, nobody is ended before the end, or warned of another end than the one that comes.
func TestJudgeNeverEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		second := func(name string, least, most int) time.Duration {
			return time.Duration(rapid.IntRange(least, most).Draw(t, name)) * time.Second
		}
		timing := Timing{MaxAge: second("max age", 100, 1000), IdleTimeout: second("idle", 0, 300)}
		if timing.Notice = second("notice", 0, 60); timing.IdleTimeout > 0 {
			timing.Notice = min(timing.Notice, timing.IdleTimeout-time.Second)
		}
		if err := timing.validate(); err != nil {
			t.Fatal(err)
		}
		begun := time.Unix(1_800_000_000, 0)
		s := sessionstore.Session{AuthTime: begun, ExpiresAt: begun.Add(timing.MaxAge), SeenAt: begun.Add(second("seen", 0, 400)), Warned: rapid.Bool().Draw(t, "warned")}
		now := begun.Add(second("now", 0, 1500))
		v := timing.judge(s, now, func() revocation.Decision { return revocation.Decision{State: revocation.Active} })
		end := s.ExpiresAt
		if idle := s.SeenAt.Add(timing.IdleTimeout); timing.IdleTimeout > 0 && idle.Before(end) {
			end = idle
		}
		switch v.step {
		case claim:
			if now.Before(end) {
				t.Fatalf("ended at %v, its end is %v", now, end)
			}
		case warn:
			if !v.at.Equal(end) || now.Before(end.Add(-timing.Notice)) || s.Warned {
				t.Fatalf("warned at %v of %v, its end is %v", now, v.at, end)
			}
		case wait:
			if !v.at.After(now) {
				t.Fatalf("it is to be looked at in the past, again and again: %v at %v", v.at, now)
			}
		}
	})
}

func TestTimingRefuses(t *testing.T) {
	for name, timing := range map[string]Timing{
		"no max age": {}, "negative": {MaxAge: time.Hour, IdleTimeout: -1}, "negative notice": {MaxAge: time.Hour, Notice: -1},
		"notice before the beginning": {MaxAge: time.Hour, IdleTimeout: time.Minute, Notice: time.Minute},
	} {
		if timing.validate() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	_, err := New(Config{SweepInterval: -1})
	for _, part := range []string{"Store", "Replica", "Stream", "Keys", "Tell", "Leeway", "Metrics", "Log", "MaxAge", "SweepInterval"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v doesn't say %s", err, part)
		}
	}
}

// TestNetworkOf: no more of an address is kept than is said.
func TestNetworkOf(t *testing.T) {
	for _, test := range []struct {
		addr         string
		bits4, bits6 int
		want         string
	}{
		{"203.0.113.77", 24, 48, "203.0.113.0/24"}, {"::ffff:203.0.113.77", 24, 48, "203.0.113.0/24"}, {"2001:db8:1:2::7", 24, 48, "2001:db8:1::/48"}, {"fe80::1%eth0", 24, 48, "fe80::/48"},
		{"203.0.113.77", -1, 48, ""}, {"203.0.113.77", 32, -1, "203.0.113.77/32"}, {"2001:db8::7", 24, -1, ""}, {"2001:db8::7", 24, 128, "2001:db8::7/128"}, {"203.0.113.77", 99, 48, "203.0.113.77/32"},
	} {
		if got := networkOf(netip.MustParseAddr(test.addr), test.bits4, test.bits6); got != test.want {
			t.Errorf("%s with %d and %d bits: %q, want %q", test.addr, test.bits4, test.bits6, got, test.want)
		}
	}
	if got := networkOf(netip.Addr{}, 24, 48); got != "" {
		t.Errorf("of no address: %q", got)
	}
}

// FuzzAgent: whatever a browser sends, what is kept is short, and can be shown on a terminal and in a page.
func FuzzAgent(f *testing.F) {
	for _, seed := range []string{
		"", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36", "curl/8.5.0", "<script>alert(1)</script>/1",
		"Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
		"Googlebot/2.1 (+http://www.google.com/bot.html)", "((((", "a/", "/;;)(", "\x1b[31mred", strings.Repeat("Ü", 2000),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		a := agentOf(header)
		for _, name := range []string{a.Browser, a.OS} {
			if len(name) > maxNameBytes || !utf8.ValidString(name) || strings.ContainsAny(name, "<>&\"'\x1b\n") {
				t.Errorf("%q", name)
			}
		}
		if nameOf(a) == "" {
			t.Error("without a name")
		}
	})
}
