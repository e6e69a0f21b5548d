package ledger_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/natstest"
)

// TestReadOverALinkThatIsCut: a reading that loses its link, at whichever message, ends whole or with an error, and has told nothing twice.
func TestReadOverALinkThatIsCut(t *testing.T) {
	srv := natstest.Start(t)
	proxy := natstest.NewProxy(t, srv.Addr())
	far := natstest.Open(t, bus.Config{URL: proxy.URL()})
	near := natstest.Open(t, bus.Config{URL: srv.URL()})
	b := &book{Reader: ledger.NewReader(far.JetStream(), bus.LedgerStream), bus: near, pub: near.Publisher()}
	const n = 9_000
	b.fill(t, n)
	for _, at := range []uint64{4_000, n - 1} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			last := uint64(0)
			err := b.Read(t.Context(), ledger.Range{Topics: []string{events.TopicAll}}, func(e ledger.Entry) error {
				if e.Position != last+1 {
					t.Errorf("%d comes behind %d", e.Position, last)
				}
				if last = e.Position; last == at {
					proxy.Cut()
				}
				return nil
			}, nil)
			if err == nil && last != n {
				t.Errorf("the range ended at %d of %d as if it were whole", last, n)
			}
		})
	}
}

// removable is a stream of n messages that may be removed, which the ledger's may not.
func removable(t *testing.T, n int) (jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	js := natstest.Bus(t).JetStream()
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other.*"}, Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := js.PublishAsync("other.a", []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	return js, stream
}

// TestReadWhatGoesMeanwhile: messages that are removed while a range is read, its last one among them, are missing, and nothing else is.
func TestReadWhatGoesMeanwhile(t *testing.T) {
	const n = 9_000
	js, stream := removable(t, n)
	seen, gone := map[uint64]bool{}, map[uint64]bool{}
	err := ledger.NewReader(js, "OTHER").Read(t.Context(), ledger.Range{Topics: []string{"other.*"}}, func(e ledger.Entry) error {
		if seen[e.Position] = true; e.Position > 1 {
			return nil
		}
		for at := uint64(n); at > n-2_000; at -= 1 + at%7 {
			if err := stream.DeleteMsg(t.Context(), at); err != nil {
				return err
			}
			gone[at] = true
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for at := uint64(1); at <= n; at++ {
		if seen[at] == gone[at] {
			t.Fatalf("%d: seen %t, removed %t", at, seen[at], gone[at])
		}
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Consumers != 0 {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestReadWhatIsPurgedMeanwhile: what the server told to be pending goes, and the reading ends with what was sent before; not before it has asked whether that is so.
func TestReadWhatIsPurgedMeanwhile(t *testing.T) {
	const n = 9_000
	js, stream := removable(t, n)
	var last, pending uint64
	err := ledger.NewReader(js, "OTHER").Read(t.Context(), ledger.Range{Topics: []string{"other.*"}}, func(e ledger.Entry) error {
		if e.Position != last+1 {
			t.Errorf("%d after %d", e.Position, last)
		}
		last, pending = e.Position, e.Pending
		if last > 1 {
			return nil
		}
		return stream.Purge(t.Context())
	}, nil)
	if err != nil || last == 0 || last == n || pending == 0 {
		t.Errorf("%d of %d were read, and %d were pending: %v", last, n, pending, err)
	}
}
