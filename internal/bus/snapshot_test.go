package bus_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// snapshot takes one of the ledger.
func snapshot(t *testing.T, b *bus.Bus) (bus.Restore, []byte) {
	t.Helper()
	var data bytes.Buffer
	snap, err := b.SnapshotStream(t.Context(), bus.LedgerStream, &data)
	if err != nil {
		t.Fatal(err)
	}
	state, err := snap.Read()
	if err != nil {
		t.Fatal(err)
	}
	n, counted, err := b.EventsUpTo(t.Context(), state.Last)
	if err != nil || !counted {
		t.Fatal(n, counted, err)
	}
	return bus.Restore{Stream: bus.LedgerStream, Snapshot: snap, Events: n}, data.Bytes()
}

// bare opens a Bus without streams.
func bare(t *testing.T, cfg bus.Config) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// fill stores n events with beats among them, which expire.
func fill(t *testing.T, b *bus.Bus, n int) {
	t.Helper()
	for i := range n {
		where, data := revoked(t, func(*events.SessionRevoked) {})
		if _, err := b.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: where, Data: data, Header: nats.Header{"Content-Type": {events.ContentType}}}); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			if _, err := b.JetStream().Publish(t.Context(), events.TopicBeat, nil, jetstream.WithMsgTTL(time.Second)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRestore: a restored ledger has the same events at the same positions, its settings and its durable consumers, and goes on behind its last position.
func TestRestore(t *testing.T) {
	from := natstest.Bus(t)
	fill(t, from, 100)
	if _, err := from.JetStream().CreateConsumer(t.Context(), bus.LedgerStream, jetstream.ConsumerConfig{Durable: "relay", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	if _, err := from.JetStream().CreateConsumer(t.Context(), bus.LedgerStream, jetstream.ConsumerConfig{Name: "gone", AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Hour}); err != nil {
		t.Fatal(err)
	}
	r, data := snapshot(t, from)
	if r.Events != 100 {
		t.Errorf("%d events", r.Events)
	}
	// By then the beats in it have expired.
	eventually(t, 20*time.Second, "the beats expire", func() bool {
		stream, err := from.JetStream().Stream(t.Context(), bus.LedgerStream)
		return err == nil && stream.CachedInfo().State.Msgs == 100
	})
	to := bare(t, natstest.Config(t))
	if err := to.Restore(t.Context(), r, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if was, is := ledgerConfig(t, from), ledgerConfig(t, to); is.MaxAge != was.MaxAge || is.Metadata[bus.HashKeyMetadata] != was.Metadata[bus.HashKeyMetadata] ||
		is.Metadata[bus.WholeSinceMetadata] != "" || is.Metadata[bus.RestoringMetadata] != "" {
		t.Errorf("settings %+v, were %+v", is, was)
	}
	if err := to.EnsureStreams(t.Context()); err != nil {
		t.Error(err)
	}
	state, err := r.Snapshot.Read()
	if err != nil {
		t.Fatal(err)
	}
	for position := uint64(1); position <= state.Last; position++ {
		was, err1 := from.EventAt(t.Context(), position)
		is, err2 := to.EventAt(t.Context(), position)
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("at %d: %v and %v", position, err1, err2)
		}
		if err1 == nil && (!bytes.Equal(was.Data, is.Data) || was.Subject != is.Subject || !was.Time.Equal(is.Time) || is.Header.Get("Content-Type") != events.ContentType) {
			t.Fatalf("at %d: %+v and %+v", position, was, is)
		}
	}
	if ack := mustStore(t, to.Publisher(), newMessage("x")); ack.Position != state.Last+1 {
		t.Errorf("it goes on at %d, want %d", ack.Position, state.Last+1)
	}
	stream, err := to.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range stream.ConsumerNames(t.Context()).Name() {
		names = append(names, name)
	}
	if !slices.Equal(names, []string{"relay"}) {
		t.Errorf("consumers %v", names)
	}
	if err := to.Restore(t.Context(), r, bytes.NewReader(data)); !errors.Is(err, bus.ErrExists) {
		t.Errorf("over one that is there: %v", err)
	}
	if _, err := to.EventAt(t.Context(), state.Last+1); err != nil {
		t.Error(err)
	}
}

// TestRestoreOfWhatWasLost: of what was stored since the backup nobody knows, so the ledger is whole since now only, but for who signs in now.
func TestRestoreOfWhatWasLost(t *testing.T) {
	from := natstest.Bus(t)
	fill(t, from, 3)
	r, data := snapshot(t, from)
	r.Lost = true
	to := bare(t, natstest.Config(t))
	if err := to.Restore(t.Context(), r, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	since := bus.WholeSince(ledgerConfig(t, to), time.Now())
	if ago := time.Since(since); ago < 4*time.Minute || ago > 6*time.Minute {
		t.Errorf("it is whole since %v ago", ago)
	}
}

// TestRestoreThatFails leaves nothing, whatever is wrong with what it is given.
func TestRestoreThatFails(t *testing.T) {
	from := natstest.Bus(t)
	fill(t, from, 2000)
	r, data := snapshot(t, from)
	more := r
	more.Events++
	broken := bytes.Clone(data)
	copy(broken[len(broken)/2:], make([]byte, 100))
	to := bare(t, natstest.Config(t))
	for name, tt := range map[string]struct {
		r    bus.Restore
		data io.Reader
	}{
		"cut off":         {r, bytes.NewReader(data[:len(data)/2])},
		"empty":           {r, bytes.NewReader(nil)},
		"broken":          {r, bytes.NewReader(broken)},
		"an event less":   {more, bytes.NewReader(data)},
		"unreadable":      {r, io.MultiReader(bytes.NewReader(data[:len(data)/2]), failing{})},
		"another stream":  {bus.Restore{Stream: bus.ParkedStream, Snapshot: r.Snapshot}, bytes.NewReader(data)},
		"without setting": {bus.Restore{Stream: bus.LedgerStream, Snapshot: bus.StreamSnapshot{Config: []byte(`{}`), State: []byte(`{}`)}}, bytes.NewReader(data)},
	} {
		if err := to.Restore(t.Context(), tt.r, tt.data); err == nil {
			t.Errorf("%s: it is restored", name)
		}
		for name := range to.JetStream().StreamNames(t.Context()).Name() {
			t.Errorf("%s is left", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	interrupted := io.MultiReader(bytes.NewReader(data[:len(data)/2]), after(cancel), bytes.NewReader(data[len(data)/2:]))
	if err := to.Restore(ctx, r, interrupted); err == nil {
		t.Error("it is restored though it was interrupted")
	}
	if err := to.Restore(t.Context(), r, bytes.NewReader(data)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the disk is broken") }

// after is a reader of nothing that calls a function.
type after func()

func (f after) Read([]byte) (int, error) { f(); return 0, io.EOF }

// TestRestoreAfterAKill: what a restore has left that was killed is used by nobody, and the next one begins anew.
func TestRestoreAfterAKill(t *testing.T) {
	from := natstest.Bus(t)
	fill(t, from, 10)
	r, data := snapshot(t, from)
	to := bare(t, natstest.Config(t))
	half := bus.LedgerSpec(bus.Config{})
	half.Metadata = map[string]string{bus.RestoringMetadata: "2026-11-28T00:00:00Z"}
	half.MaxBytes = 1 << 20
	if _, err := to.JetStream().CreateStream(t.Context(), half); err != nil {
		t.Fatal(err)
	}
	if err := to.EnsureStreams(t.Context()); !errors.Is(err, bus.ErrRestoring) {
		t.Errorf("it is used: %v", err)
	}
	if err := to.Restore(t.Context(), r, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if err := to.EnsureStreams(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSnapshotThatNobodyTakes ends, and another one can be taken.
func TestSnapshotThatNobodyTakes(t *testing.T) {
	b := natstest.Bus(t)
	fill(t, b, 10)
	if _, err := b.SnapshotStream(t.Context(), bus.LedgerStream, refusing{}); err == nil {
		t.Error("there is a snapshot though its writer failed")
	}
	if _, err := b.SnapshotStream(t.Context(), "CURFEW_NOTHING", io.Discard); err == nil {
		t.Error("there is a snapshot of nothing")
	}
	if _, err := b.SnapshotStream(t.Context(), bus.LedgerStream, io.Discard); err != nil {
		t.Error(err)
	}
}

type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

func TestBacked(t *testing.T) {
	b := natstest.Bus(t)
	if _, err := b.KeyValue(t.Context(), bus.KeysBucket()); err != nil {
		t.Fatal(err)
	}
	for all, want := range map[bool][]string{false: {"CURFEW"}, true: {"CURFEW_PARKED", "KV_CURFEW_KEYS", "KV_CURFEW_SECRETS", "CURFEW"}} {
		if got, err := b.Backed(t.Context(), all); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: %v, %v", all, got, err)
		}
	}
	if _, err := bare(t, natstest.Config(t)).Backed(t.Context(), false); err == nil {
		t.Error("a ledger that isn't there is no error")
	}
}
