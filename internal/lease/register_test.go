package lease

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/natstest"
)

// memory is a server that holds one entry, for tests in a bubble. It passes the same tests as a bucket.
type memory struct {
	mu sync.Mutex
	// held is the entry.
	held entry
	// all are the listeners.
	all []chan struct{}
}

func (m *memory) read(context.Context) (entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held, nil
}

func (m *memory) write(_ context.Context, value []byte, after uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held.revision != after {
		return 0, errConflict
	}
	m.held = entry{revision: after + 1, created: time.Now(), value: bytes.Clone(value)}
	for _, l := range m.all {
		select {
		case l <- struct{}{}:
		default:
		}
	}
	return m.held.revision, nil
}

func (m *memory) listen() chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := make(chan struct{}, 1)
	m.all = append(m.all, l)
	return l
}

// direct is a register without a network between.
type direct struct {
	*memory
	heard chan struct{}
}

func (d direct) hints() <-chan struct{} { return d.heard }

func newDirect(m *memory) direct { return direct{m, m.listen()} }

func TestRegisters(t *testing.T) {
	t.Run("memory", func(t *testing.T) { testRegister(t, newDirect(&memory{})) })
	t.Run("bucket", func(t *testing.T) {
		b := natstest.Bus(t)
		kv, err := b.JetStream().CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "LEASES"})
		if err != nil {
			t.Fatal(err)
		}
		r, err := openBucket(b.Conn(), kv, "k")
		if err != nil {
			t.Fatal(err)
		}
		defer r.close()
		testRegister(t, r)
	})
}

func testRegister(t *testing.T, r register) {
	t.Helper()
	ctx := t.Context()
	if e, err := r.read(ctx); err != nil || !e.equal(entry{}) {
		t.Fatalf("read = %+v, %v before anything was written", e, err)
	}
	first, err := r.write(ctx, []byte("1"), 0)
	if err != nil || first == 0 {
		t.Fatalf("write = %d, %v", first, err)
	}
	select {
	case <-r.hints():
	case <-time.After(20 * time.Second):
		t.Error("no hint that it was written")
	}
	e1, err := r.read(ctx)
	if err != nil || e1.revision != first || string(e1.value) != "1" || e1.created.IsZero() {
		t.Errorf("read = %+v, %v, want what was written", e1, err)
	}
	for _, after := range []uint64{0, first + 1, first + 1000} {
		if revision, err := r.write(ctx, []byte("x"), after); !errors.Is(err, errConflict) {
			t.Errorf("write after %d, where it is %d = %d, %v, want a conflict", after, first, revision, err)
		}
	}
	second, err := r.write(ctx, []byte("1"), first)
	if err != nil || second <= first {
		t.Fatalf("write = %d, %v, want more than %d", second, err, first)
	}
	e2, err := r.read(ctx)
	if err != nil || e2.equal(e1) || e2.revision != second {
		t.Errorf("read = %+v, %v, want another than before", e2, err)
	}
	if again, err := r.read(ctx); err != nil || !again.equal(e2) {
		t.Errorf("read = %+v, %v, want %+v again", again, err, e2)
	}

	// Of those that write after the same revision, one succeeds.
	var writers sync.WaitGroup
	var mu sync.Mutex
	won := map[uint64]int{}
	for range 6 {
		writers.Go(func() {
			for range 20 {
				e, err := r.read(ctx)
				if err != nil {
					t.Errorf("read: %v", err)
				}
				_, err = r.write(ctx, []byte("w"), e.revision)
				switch {
				case err == nil:
					mu.Lock()
					won[e.revision]++
					mu.Unlock()
				case !errors.Is(err, errConflict):
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	writers.Wait()
	if len(won) < 20 {
		t.Errorf("%d writes succeeded", len(won))
	}
	for revision, n := range won {
		if n != 1 {
			t.Errorf("%d writes after %d succeeded", n, revision)
		}
	}
}

// An operator may delete the entry, and somebody may write nonsense.
func TestBucketThatSomebodyElseTouched(t *testing.T) {
	b := natstest.Bus(t)
	kv, err := b.JetStream().CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "LEASES"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := openBucket(b.Conn(), kv, "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if _, err := r.write(t.Context(), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if e, err := r.read(t.Context()); err != nil || e.revision != 0 {
		t.Errorf("read = %+v, %v of what was deleted", e, err)
	}
	if _, err := r.write(t.Context(), []byte("2"), 0); err != nil {
		t.Errorf("write over what was deleted: %v", err)
	}
	for nonsense, want := range map[string]bool{
		"": false, "nonsense": false, "[]": false, `{"id":"x"}`: false, `{"id":"x","ttl_ms":-1}`: false, `{"id":"","ttl_ms":-1}`: false,
		`{"id":"x","ttl_ms":1}`: true, `{"id":"","ttl_ms":0,"writes":3}`: true,
	} {
		if _, ok := parse([]byte(nonsense)); ok != want {
			t.Errorf("parse(%q) is %t, want %t", nonsense, ok, want)
		}
	}
}

func TestMemoryInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { testRegister(t, newDirect(&memory{})) })
}
