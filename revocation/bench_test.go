package revocation

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/curfewhq/curfew/events"
)

// filled returns a replica that holds n revocations: nine of ten are sessions, and the others users' cutoffs, of which one in ten
// excepts a session; besides some of devices and clients, and one of another tenant.
func filled(tb testing.TB, n int) (*Replica, *sink) {
	tb.Helper()
	r, sink := bare(Config{StalenessBudget: time.Hour})
	now := time.Now()
	cutoff := now.Add(-time.Hour)
	at := func(i int) Place { return Place{uint64(i + 1), now, now} }
	var e events.SessionRevoked
	for i := range n {
		if i%10 == 0 {
			u := &events.UserLoggedOutEverywhere{Common: common(i, now), User: userID(i), Cutoff: cutoff}
			if i%100 == 0 {
				u.Except = []string{sessionID(n + i)}
			}
			r.set.Load().apply(u, at(i).Position, now)
			continue
		}
		e = events.SessionRevoked{Common: events.Common{Tenant: events.DefaultTenant, Time: now, Reason: events.ReasonUserLogout}, Session: sessionID(i)}
		r.set.Load().apply(&e, at(i).Position, now)
	}
	for i := range min(1000, n) {
		sink.Event(at(n+i), &events.DeviceLoggedOut{Common: common(i, now), Device: deviceID(i), Cutoff: cutoff})
		sink.Event(at(n+i), &events.ClientLoggedOut{Common: common(i, now), Client: fmt.Sprint("client-", i), Cutoff: cutoff})
	}
	sink.Event(at(n), tenantOut("another", cutoff))
	return r, sink
}

func sessionID(i int) string { return string(appendHex(appendHex(nil, i), i*7919)) }
func userID(i int) string    { return string(appendHex([]byte("auth0|"), i)) }
func deviceID(i int) string  { return string(appendHex([]byte("device-"), i)) }

// appendHex is %016x, but for the time that it takes to make ten million.
func appendHex(b []byte, i int) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[i>>shift&0xf])
	}
	return b
}

var sizes = []struct {
	name string
	n    int
}{{"10k", 10_000}, {"1M", 1_000_000}, {"10M", 10_000_000}}

// walker makes the sessions to ask for as it goes, for a list of them would take the cache from what is measured. It costs some nanoseconds, which
// are in every figure alike.
type walker struct {
	x        uint64
	sessions [idsAtOnce]Session
	ids      [idsAtOnce]struct{ session, user, device []byte }
	at       int
}

func newWalker(authTime time.Time) *walker {
	w := &walker{}
	text := func(b []byte) string { return unsafe.String(&b[0], len(b)) }
	for i := range w.ids {
		id := &w.ids[i]
		id.session, id.user, id.device = []byte("0123456789abcdef0123456789abcdef"), []byte("auth0|0123456789abcdef"), []byte("device-0123456789abcdef")
		w.sessions[i] = Session{ID: text(id.session), User: text(id.user), Device: text(id.device), Client: "web", AuthTime: authTime}
	}
	return w
}

// next returns a session with ids that no session of the set has, each with 13 hexadecimal digits of its own.
func (w *walker) next() *Session {
	if w.at == 0 {
		w.make()
	}
	s := &w.sessions[w.at]
	w.at = (w.at + 1) % idsAtOnce
	return s
}

func (w *walker) make() {
	const letters, low = 0x6060606060606060, 0x0f0f0f0f0f0f0f0f
	for i := range w.ids {
		w.x = w.x*6364136223846793005 + 1442695040888963407
		x := w.x>>12 | 0x0404_0404_0404_0404
		id := &w.ids[i]
		binary.LittleEndian.PutUint64(id.session[8:], x&low|letters)
		binary.LittleEndian.PutUint64(id.user[8:], x>>4&low|letters)
		binary.LittleEndian.PutUint64(id.device[8:], x>>2&low|letters)
	}
}

// BenchmarkCheck is a whole Check with five parts, for sessions that are spread over more memory than any cache holds.
func BenchmarkCheck(b *testing.B) {
	for _, size := range sizes {
		b.Run("entries="+size.name, func(b *testing.B) {
			r, _ := filled(b, size.n)
			runtime.GC()
			for _, begun := range []struct {
				name string
				ago  time.Duration
			}{
				// Old enough that every kind's cutoffs have to be asked, and begun after all of them.
				{"old", 2 * time.Hour}, {"recent", time.Minute},
			} {
				b.Run("begun="+begun.name, func(b *testing.B) {
					b.ReportAllocs()
					w := newWalker(time.Now().Add(-begun.ago))
					for b.Loop() {
						if d := r.Check(*w.next()); d.State != Active {
							b.Fatalf("%+v", d)
						}
					}
				})
			}
			runtime.KeepAlive(r)
		})
	}
}

// BenchmarkDRAM is one load from memory that depends on the one before it: a walk through 256 MiB in random order.
func BenchmarkDRAM(b *testing.B) {
	const n = 256 << 20 / 64
	type line struct {
		next uint32
		_    [60]byte
	}
	lines := make([]line, n)
	// Sattolo's shuffle: one cycle through all lines.
	order := make([]uint32, n)
	for i := range order {
		order[i] = uint32(i)
	}
	seed := uint64(1)
	for i := n - 1; i > 0; i-- {
		seed = seed*6364136223846793005 + 1442695040888963407
		j := int(seed>>33) % i
		order[i], order[j] = order[j], order[i]
	}
	for i := range order {
		lines[order[i]].next = order[(i+1)%n]
	}
	at := uint32(0)
	for b.Loop() {
		at = lines[at].next
	}
	runtime.KeepAlive(at)
}
