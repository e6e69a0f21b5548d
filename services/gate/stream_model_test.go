package gate_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
)

// following is what a service in another language keeps of a stream, said as plainly as the API's document says it.
type following struct {
	all    []frameData
	maxAge time.Duration
	// proved is up to where it is known to have everything.
	proved uint64
}

// take takes frames in; being told twice changes nothing.
func (f *following) take(t testing.TB, frames []frame) {
	for _, fr := range frames {
		d := fr.read(t)
		switch fr.event {
		case "revocation":
			f.all = append(f.all, d)
		case "synced":
			f.maxAge, f.proved = time.Duration(d.MaxAgeMS)*time.Millisecond, d.Position
		case "beat":
			f.proved = d.Position
		}
	}
}

// over reports whether a session is over.
func (f *following) over(s revocation.Session, now time.Time) bool {
	begun := s.AuthTime.UnixMilli()
	return now.Sub(s.AuthTime) >= f.maxAge || slices.ContainsFunc(f.all, func(d frameData) bool {
		reached := d.CutoffMS != nil && begun <= *d.CutoffMS
		switch d.Scope {
		case "session":
			return d.Session == s.ID
		case "user":
			return slices.Contains(d.KnownSessions, s.ID) || d.User == s.User && reached && !slices.Contains(d.Except, s.ID)
		case "device":
			return d.Device == s.Device && reached
		case "client":
			return d.Client == s.Client && reached
		}
		return d.Scope == "tenant" && reached
	})
}

// What a follower computes from a stream is what the replica answers, wherever the stream was cut and resumed.
func TestStreamFollowerAgreesWithTheReplica(t *testing.T) {
	s := newStation(t, natstest.Bus(t), nil)
	tenants := 0
	rapid.Check(t, func(rt *rapid.T) {
		tenants++
		tenant := fmt.Sprint("t", tenants)
		_, key := accesstest.Key(t, s.store, tenant, access.ScopeCheck)
		now := time.Now().Truncate(time.Millisecond)
		followed, since := &following{}, ""
		for range rapid.IntRange(1, 4).Draw(rt, "parts") {
			// While it is away, or beside it.
			last := s.publish(t, genBatch(t, tenant, now).Draw(rt, "away")...)
			st := s.open(t, key, since)
			if rapid.Bool().Draw(rt, "more") {
				last = s.publish(t, genBatch(t, tenant, now).Draw(rt, "beside")...)
			}
			if rapid.IntRange(0, 3).Draw(rt, "cut") == 0 {
				// Wherever it is by then, mostly before it is synced.
				if f, err := st.next(); err == nil && f.event == "revocation" {
					followed.take(t, []frame{f})
					since = "?since=" + f.id
				}
				st.leave()
				st = s.open(t, key, since)
			}
			followed.take(t, st.upTo(last))
			st.leave()
			since = fmt.Sprint("?since=", followed.proved)
			if err := s.replica.WaitFor(t.Context(), last); err != nil {
				t.Fatal(err)
			}
			agree(rt, s, followed, tenant, now)
		}
	})
}

// agree holds what is followed against the replica for every session that there can be.
func agree(t *rapid.T, s *station, f *following, tenant string, now time.Time) {
	names := func(prefix string) []string { return []string{prefix + "0", prefix + "1"} }
	for _, sid := range names("s") {
		for _, user := range names("u") {
			for _, device := range names("d") {
				for _, client := range names("c") {
					for minutes := -6; minutes <= 0; minutes++ {
						session := revocation.Session{Tenant: tenant, ID: sid, User: user, Device: device, Client: client, AuthTime: now.Add(time.Duration(minutes) * time.Minute)}
						d := s.replica.Check(session)
						if d.State == revocation.Undetermined {
							t.Fatalf("the replica can't tell: %v", d.Cause)
						}
						if got, want := f.over(session, time.Now()), d.State == revocation.Revoked; got != want {
							t.Fatalf("%+v: the follower says %t, the replica %t by %s", session, got, want, d.Scope)
						}
					}
				}
			}
		}
	}
}

// genBatch generates some events about few ids, with cutoffs at whole minutes and a millisecond beside them.
func genBatch(t *testing.T, tenant string, now time.Time) *rapid.Generator[[]events.Event] {
	id := func(prefix string) *rapid.Generator[string] {
		return rapid.Map(rapid.IntRange(0, 1), func(i int) string { return fmt.Sprint(prefix, i) })
	}
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) events.Event {
		common := commonOf(t, tenant, rapid.SampledFrom(events.Reasons()).Draw(rt, "reason"))
		cutoff := now.Add(time.Duration(rapid.IntRange(-6, 0).Draw(rt, "minutes"))*time.Minute + time.Duration(rapid.IntRange(-1, 1).Draw(rt, "ms"))*time.Millisecond)
		switch rapid.SampledFrom(events.Kinds()).Draw(rt, "scope") {
		case events.KindSession:
			return &events.SessionRevoked{Common: common, Session: id("s").Draw(rt, "session"), User: id("u").Draw(rt, "user")}
		case events.KindUser:
			e := &events.UserLoggedOutEverywhere{Common: common, User: id("u").Draw(rt, "user"), Cutoff: cutoff}
			switch rapid.IntRange(0, 2).Draw(rt, "lists") {
			case 0:
				e.Except = []string{id("s").Draw(rt, "except")}
			case 1:
				e.KnownSessions = []string{id("s").Draw(rt, "known")}
			}
			return e
		case events.KindDevice:
			return &events.DeviceLoggedOut{Common: common, Device: id("d").Draw(rt, "device"), User: id("u").Draw(rt, "user"), Cutoff: cutoff}
		case events.KindClient:
			return &events.ClientLoggedOut{Common: common, Client: id("c").Draw(rt, "client"), Cutoff: cutoff}
		}
		return &events.TenantLoggedOut{Common: common, Cutoff: cutoff}
	}), 1, 4)
}
