package sessionkv

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

// link is a store over a connection that can be cut.
type link struct {
	*Store
	proxy *natstest.Proxy
}

func linked(t testing.TB, addr string) link {
	t.Helper()
	proxy := natstest.NewProxy(t, addr)
	// A connection can't be asked anything while it is being made.
	nc, err := nats.Connect(proxy.URL(), nats.Timeout(100*time.Millisecond), nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(0, 0), nats.IgnoreDiscoveredServers())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), bus.SessionsBucket().Name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), nc, kv, config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return link{s, proxy}
}

func config() Config {
	return Config{Hasher: sessionstore.NewHasher([]byte("key")), Due: func(s sessionstore.Session) time.Time { return s.ExpiresAt }}
}

// cut cuts the connection, which is made again at once; hard doesn't wait until it is.
func (l link) cut(t *testing.T, hard bool) {
	t.Helper()
	before := l.conn.Stats().Reconnects
	l.proxy.Cut()
	if !hard {
		eventually(t, "it is made again", func() bool { return l.conn.Stats().Reconnects > before })
	}
}

// away cuts the connection until back.
func (l link) away(t *testing.T) {
	t.Helper()
	l.proxy.Stall()
	l.proxy.Cut()
	eventually(t, "the connection is noticed to be cut", func() bool { return !l.current() })
}

func (l link) back(t *testing.T) {
	t.Helper()
	l.proxy.Heal()
	eventually(t, "it is connected again", l.current)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("after 20 s: not %s", what)
		case <-look.C:
		}
	}
}

// TestGoneWhileAway: an entry went while the connection was away, and nothing in the bucket tells of it any more.
func TestGoneWhileAway(t *testing.T) {
	srv := natstest.Start(t)
	direct := openOver(t, natstest.Open(t, bus.Config{URL: srv.URL()}))
	l := linked(t, srv.Addr())
	gone, kept := begun(t, direct, "gone"), begun(t, direct, "kept")
	caughtUp(t, direct, l.Store)
	l.away(t)
	if err := direct.stream.Purge(t.Context(), jetstream.WithPurgeSubject(direct.prefix+direct.cfg.Hasher.Session(gone.Key()))); err != nil {
		t.Fatal(err)
	}
	l.back(t)
	if got := touchAt(t, l.Store, gone, time.Now()); got.Outcome != sessionstore.Unknown {
		t.Errorf("a touch of what the bucket doesn't hold: %+v", got)
	}
	kept.SeenAt = kept.SeenAt.Add(time.Second)
	touchAt(t, l.Store, kept, kept.SeenAt)
	holds(t, kept, l.Store, openOver(t, natstest.Open(t, bus.Config{URL: srv.URL()})))
	l.mu.RLock()
	defer l.mu.RUnlock()
	if n := l.table.Len(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// TestNothingOldIsAnswered: from the moment that the connection is made again nothing is answered out of what was heard before it was cut.
func TestNothingOldIsAnswered(t *testing.T) {
	srv := natstest.Start(t)
	direct := openOver(t, natstest.Open(t, bus.Config{URL: srv.URL()}))
	for i := range 8 {
		l := linked(t, srv.Addr())
		l.away(t)
		session := begun(t, direct, fmt.Sprintf("s-%d", i))
		l.proxy.Heal()
		eventually(t, "found", func() bool {
			for range 100 { // rather than once in a while: it is about microseconds
				_, err := l.Session(t.Context(), session.Key())
				if errors.Is(err, sessionstore.ErrUnknown) {
					t.Fatalf("%d: it is unknown, to who can't know", i)
				}
				if err == nil {
					return true
				}
			}
			return false
		})
	}
}

// TestPutBackWhileAway: the server's disk was put back to an earlier time, as out of a backup or by a crash of the machine, and others have written more than was lost before a process is back.
// What it has heard of after that time never was.
func TestPutBackWhileAway(t *testing.T) {
	dir := t.TempDir()
	srv := natstest.Start(t, natstest.With(func(o *server.Options) { o.StoreDir = dir }))
	openOver(t, natstest.Open(t, bus.Config{URL: srv.URL()})) // makes the bucket
	l := linked(t, srv.Addr())
	session := begun(t, l.Store, "s-1")
	srv.Stop()
	backup := os.DirFS(dir)
	saved := t.TempDir()
	if err := os.CopyFS(saved, backup); err != nil {
		t.Fatal(err)
	}
	srv.Restart()
	eventually(t, "it is connected again", l.current)
	if _, ended, err := l.End(t.Context(), session.Key(), pending(session, "e-1"), session.SeenAt); err != nil || !ended {
		t.Fatal(ended, err)
	}
	l.away(t)
	srv.Stop()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(saved)); err != nil {
		t.Fatal(err)
	}
	srv.Restart()
	other := openOver(t, natstest.Open(t, bus.Config{URL: srv.URL()}))
	for i := range 10 {
		begun(t, other, fmt.Sprintf("later-%d", i))
	}
	l.back(t)
	holds(t, session, other, l.Store)
	session.SeenAt = session.SeenAt.Add(time.Second)
	if got := touchAt(t, l.Store, session, session.SeenAt); cmp.Diff(sessionstore.Touched{Outcome: sessionstore.Taken, SeenAt: session.SeenAt}, got) != "" {
		t.Errorf("touch: %+v", got)
	}
	holds(t, session, other, l.Store)
}

// told is an entry that a bucket tells.
type told struct {
	jetstream.KeyValueEntry
	key      string
	value    []byte
	revision uint64
}

func (t told) Key() string                     { return t.key }
func (t told) Value() []byte                   { return t.value }
func (t told) Revision() uint64                { return t.revision }
func (t told) Operation() jetstream.KeyValueOp { return jetstream.KeyValuePut }

// TestWrittenWhileRead: a session is claimed while the bucket is read. Its entry is gone from where it was, and the server, which counts what it has yet to send a moment late, says too early that
// it has sent everything: the touch that comes before the claim was told by then, and the claim wasn't.
func TestWrittenWhileRead(t *testing.T) {
	s, session := holding(t)
	session.ExpiresAt = time.Now().Add(time.Hour)
	at := session.SeenAt.Add(time.Second).UTC().Truncate(time.Millisecond)
	name := s.cfg.Hasher.Session(session.Key())
	end := pending(session, "e-1")
	session.Ended = &end
	s.take(told{key: sheetPrefix + "1", value: appendTouch(newSheet(1), name, at), revision: 6})
	s.take(nil)
	s.take(told{key: name, value: sessionstore.Encode(session), revision: 50})
	if got, _, _ := s.get(session.Key()); !got.SeenAt.Equal(at) || got.Ended != nil {
		t.Errorf("seen at %v instead of %v, ended: %v", got.SeenAt, at, got.Ended)
	}
}
