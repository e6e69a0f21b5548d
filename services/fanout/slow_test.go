package fanout

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
)

// One tab stops reading: it alone is given up, after the write's deadline, and nobody waits for it.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		stalled := g.open(who("ann", "stalled"))
		others := map[string]*seen{}
		for i := range 20 {
			sid := fmt.Sprintf("s%d", i)
			others[sid] = watch(g.open(who("ann", sid)))
		}
		began := time.Now()
		for i := range 2 * maxQueued {
			g.publish(sessionRevoked(who("ann", fmt.Sprintf("elsewhere-%d", i)), ""))
			synctest.Wait()
			for sid, o := range others {
				if diff := cmp.Diff([]string{"sessions_changed"}, o.take()); diff != "" {
					t.Fatalf("%s (-want +got):\n%s", sid, diff)
				}
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the others waited for %v", took)
		}
		pass(writeTimeout)
		if g.closed("1013") != 1 || g.svc.Open() != 20 {
			t.Errorf("%v closed with 1013 and %d left; want 1 and 20", g.closed("1013"), g.svc.Open())
		}
		_ = stalled
	})
}

// The same while the whole tenant is signed out: the event costs no wait, and each reader gets its notice (trap 37).
func TestTrapMassLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		tabs := make([]*seen, 200)
		for i := range tabs {
			s := who(fmt.Sprintf("user-%d", i%50), fmt.Sprintf("s%d", i))
			conn := g.open(s)
			if i%10 > 0 { // each tenth doesn't read
				tabs[i] = watch(conn)
			}
		}
		e := &events.TenantLoggedOut{Common: common("bye"), Cutoff: time.Now()}
		began := time.Now()
		g.publish(e)
		synctest.Wait()
		for i, o := range tabs {
			if o == nil {
				continue
			}
			if diff := cmp.Diff(logoutOf(e), o.take()); diff != "" {
				t.Errorf("%d (-want +got):\n%s", i, diff)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		pass(writeTimeout + closeTimeout)
		if n := g.svc.Open(); n != 0 {
			t.Errorf("%d conns are left", n)
		}
	})
}

// A burst that comes while a healthy tab's writer is at work must not close it: one sessions_changed says as much as many.
func TestBurstIsOneFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		conn := g.open(who("ann", "s1"))
		for i := range 100 {
			g.publish(sessionRevoked(who("ann", fmt.Sprintf("elsewhere-%d", i)), ""))
			synctest.Wait() // the first is being written
		}
		got := watch(conn)
		synctest.Wait()
		if diff := cmp.Diff([]string{"sessions_changed", "sessions_changed"}, got.take()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Each ping gets an answer, or a later one does (RFC 6455 section 5.5.3), and answers don't fill the queue.
func TestPingsWithoutReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		conn := g.open(who("ann", "s1"))
		for i := range 3 * maxQueued {
			if err := conn.SendFrame(ws.NewPingFrame(fmt.Appendf(nil, "%d", i))); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the first answer is being written
		}
		var last string
		for range 2 {
			f, err := readFrame(conn.NetConn())
			if err != nil || f.Header.OpCode != ws.OpPong {
				t.Fatalf("got %+v, %v; want a pong", f, err)
			}
			last = string(f.Payload)
		}
		if want := fmt.Sprint(3*maxQueued - 1); last != want {
			t.Errorf("last pong %s, want %s", last, want)
		}
	})
}

// The queue is bounded. A conn whose queue is full is closed with 1013; a notice that comes then isn't lost, for the tab comes back.
func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := who("ann", "s1")
		conn := g.open(s)
		c := g.onlyConn()
		for range 3 * maxQueued {
			c.send(newMessage([]byte(`{"type":"later"}`), 0).framed)
			c.mu.Lock()
			if len(c.queue) > maxQueued+1 {
				t.Errorf("%d frames wait", len(c.queue))
			}
			c.mu.Unlock()
			synctest.Wait() // the first is being written
		}
		e := sessionRevoked(s, "bye")
		g.publish(e)
		if f := next(t, conn); f.Type != "later" {
			t.Errorf("got %+v, want what was being written", f)
		}
		wantClose(t, conn, tab.CloseOverloaded)

		back := g.pipe()
		hello(t, back, g.ticket(s))
		got := watch(back)
		synctest.Wait()
		if diff := cmp.Diff(logoutOf(e), got.take()); diff != "" {
			t.Errorf("after coming back (-want +got):\n%s", diff)
		}
	})
}

// A notice finds room in a full queue.
func TestNoticeInFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := who("ann", "s1")
		conn := g.open(s)
		c := g.onlyConn()
		for range maxQueued + 1 {
			c.send(newMessage([]byte(`{"type":"later"}`), 0).framed)
			synctest.Wait()
		}
		e := sessionRevoked(s, "bye")
		g.publish(e)
		got := watch(conn)
		synctest.Wait()
		all := got.take()
		if diff := cmp.Diff(logoutOf(e), all[max(0, len(all)-2):]); diff != "" {
			t.Errorf("(-want +got):\n%s\n%v", diff, all)
		}
	})
}

// An idle conn is pinged once per interval and lives as long as it answers; after two and a half intervals of silence it is given up.
func TestHeartbeat(t *testing.T) {
	const interval = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(cfg *Config) { cfg.Heartbeat = interval })
		nc := g.open(who("ann", "s1")).NetConn()
		began := time.Now()
		ping := func() time.Duration {
			f, err := readFrame(nc)
			if err != nil || f.Header.OpCode != ws.OpPing {
				t.Fatalf("after %v: %+v, %v; want a ping", time.Since(began), f, err)
			}
			readHeartbeat(t, nc)
			return time.Since(began)
		}
		for i := range 5 {
			// The first after half an interval to a whole one, and each other after one that is a tenth longer or shorter.
			at, others := ping(), time.Duration(i)*interval
			if earliest, latest := interval/2+others*9/10, interval+others*11/10; at < earliest || at > latest+time.Duration(i+1)*(slotMS+time.Duration(g.svc.together()))*time.Millisecond {
				t.Errorf("ping %d after %v, want it between %v and %v", i, at, earliest, latest)
			}
			if _, err := nc.Write(frame(fin|pongOp, nil)); err != nil {
				t.Fatal(err)
			}
		}
		// Silence: two more pings, and the end.
		heard := time.Now()
		ping()
		ping()
		if _, err := nc.Read(make([]byte, 1)); err == nil {
			t.Fatal("a third ping to a silent conn")
		}
		if silent := time.Since(heard); silent < interval*5/2 || silent > interval*5/2+(slotMS+time.Duration(g.svc.together()))*time.Millisecond {
			t.Errorf("given up after %v of silence", silent)
		}
		synctest.Wait()
		if g.closed("1013") != 1 {
			t.Error("not counted as 1013")
		}
	})
}

// Bytes that never make a frame aren't a sign of life.
func TestSlowlorisIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		conn := g.open(who("ann", "s1"))
		// Reads, so that the pings aren't what ends it.
		go func() { _, _ = conn.Next(t.Context()) }()
		nc := conn.NetConn()
		slow := frame(fin|textOp, make([]byte, 4000))
		began := time.Now()
		for i := 0; i < len(slow); i++ {
			if _, err := nc.Write(slow[i : i+1]); err != nil {
				break
			}
			pass(time.Second)
		}
		if took := time.Since(began); took > 120*time.Second {
			t.Errorf("it held out for %v", took)
		}
	})
}
