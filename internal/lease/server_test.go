package lease_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/internal/lease"
	"github.com/curfewhq/curfew/internal/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short is a TTL for tests with a real clock: long enough for a busy machine.
const short = 2 * time.Second

// connect returns a connection and the bucket over it.
func connect(t *testing.T, url string) (*nats.Conn, jetstream.KeyValue) {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateOrUpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "LEASES", Storage: jetstream.FileStorage})
	if err != nil {
		t.Fatal(err)
	}
	return nc, kv
}

// holders are those who hold the lease.
type holders struct {
	t  *testing.T
	mu sync.Mutex
	in []string
	// tenures counts all that there were.
	tenures int
}

func (h *holders) while(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		h.change(func() { h.in, h.tenures = append(h.in, name), h.tenures+1 })
		<-ctx.Done()
		h.change(func() { h.in = slices.DeleteFunc(h.in, func(n string) bool { return n == name }) })
		return nil
	}
}

func (h *holders) change(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if fn(); len(h.in) > 1 {
		h.t.Errorf("%q hold the lease at once", h.in)
	}
}

func (h *holders) are(want ...string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Equal(h.in, want)
}

func (h *holders) one() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.in) != 1 {
		return ""
	}
	return h.in[0]
}

// run contends until the returned func is called.
func (h *holders) run(url, name string) (stop func()) {
	h.t.Helper()
	nc, kv := connect(h.t, url)
	ctx, cancel := context.WithCancel(h.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := lease.Run(ctx, nc, kv, lease.Config{Key: "k", Holder: name, TTL: short}, h.while(name)); err != nil {
			h.t.Errorf("Run = %v", err)
		}
	}()
	return func() { cancel(); <-ended }
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Several contend over a server that restarts and a link that breaks; each that is asked to stop hands over.
func TestContendersOverAServer(t *testing.T) {
	srv := natstest.Start(t)
	h := &holders{t: t}
	stops := map[string]func(){}
	for _, name := range []string{"a", "b", "c", "d"} {
		stops[name] = h.run(srv.URL(), name)
	}
	for len(stops) > 1 {
		eventually(t, "somebody holds the lease", func() bool { return h.one() != "" })
		name := h.one()
		if name == "" {
			continue
		}
		if len(stops) == 3 {
			// Long enough for the lease to be lost, and it is taken again after.
			srv.Stop()
			eventually(t, "nobody holds it without a server", func() bool { return h.are() })
			srv.Restart()
			eventually(t, "somebody holds it again", func() bool { return h.one() != "" })
			name = h.one()
		}
		if stop := stops[name]; stop != nil {
			delete(stops, name)
			began := time.Now()
			stop()
			eventually(t, "another holds it", func() bool { o := h.one(); return o != "" && o != name })
			if took := time.Since(began); took > short {
				t.Errorf("it was handed over after %v", took)
			}
		}
	}
	// A restart that takes less than the TTL costs nothing but another try.
	srv.Restart()
	eventually(t, "the last one holds it", func() bool { return h.one() != "" })
	for _, stop := range stops {
		stop()
	}
	if h.tenures < 4 {
		t.Errorf("%d tenures, want at least 4", h.tenures)
	}
}

// A holder whose link swallows everything is out before the next is in.
func TestHolderBehindABlackHole(t *testing.T) {
	srv := natstest.Start(t)
	proxy := natstest.NewProxy(t, srv.Addr())
	h := &holders{t: t}
	stopA := h.run(proxy.URL(), "a")
	eventually(t, "a holds it", func() bool { return h.are("a") })
	stopB := h.run(srv.URL(), "b")
	proxy.Stall()
	eventually(t, "a has lost it", func() bool { return h.are() })
	eventually(t, "b holds it", func() bool { return h.are("b") })
	proxy.Heal()
	stopB()
	eventually(t, "a holds it again", func() bool { return h.are("a") })
	stopA()
}
