package bus_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

func TestEnsureStreamsIsIdempotent(t *testing.T) {
	b := natstest.Bus(t)
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	diffs, err := b.Differences(t.Context())
	if err != nil || len(diffs) != 0 {
		t.Errorf("differences: %v, %v", diffs, err)
	}
	p := b.Publisher()
	mustStore(t, p, newMessage("x"))
	stream, err := b.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	if stream.Purge(t.Context()) == nil || stream.DeleteMsg(t.Context(), 1) == nil || stream.SecureDeleteMsg(t.Context(), 1) == nil {
		t.Error("the ledger can be purged or deleted from")
	}
}

// TestEnsureStreamsRefuses looks at an existing stream that breaks one promise at a time. An external server's stream isn't
// changed by us.
func TestEnsureStreamsRefuses(t *testing.T) {
	tests := []struct {
		name, setting string
		stream        string
		change        func(*jetstream.StreamConfig)
	}{
		{"retention too short", "max age", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }},
		{"purge allowed", "deny purge", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.DenyPurge = false }},
		{"delete allowed", "deny delete", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.DenyDelete = false }},
		{"roll-up allowed", "roll-ups allowed", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.AllowRollup, c.DenyPurge = true, false }},
		{"discard old", "discard policy", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }},
		{"interest retention", "retention policy", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }},
		{"in memory", "storage", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }},
		{"asynchronous", "persist mode", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.PersistMode, c.AllowMsgTTL = jetstream.AsyncPersistMode, false }},
		{"no acknowledgements", "acknowledgements off", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.NoAck = true }},
		{"no TTLs", "message TTLs allowed", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.AllowMsgTTL = false }},
		{"one per topic", "max messages per topic", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }},
		{"short duplicate window", "duplicate window", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.Duplicates = time.Second }},
		{"no beats", "topics", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.Subjects = c.Subjects[:1] }},
		{"delete markers", "delete markers", bus.LedgerStream, func(c *jetstream.StreamConfig) { c.SubjectDeleteMarkerTTL, c.DenyPurge = time.Minute, false }},
		{"transform", "topic transform", bus.LedgerStream, func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "curfew.v1.beat", Destination: "elsewhere"}
		}},
		{"parked in memory", "storage", bus.ParkedStream, func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }},
	}
	srv := natstest.Start(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := natstest.Open(t, bus.Config{URL: srv.URL()})
			replaceStream(t, b, tt.stream, tt.change)
			diffs, err := b.Differences(t.Context())
			if err != nil || !slices.ContainsFunc(diffs, func(d bus.Difference) bool {
				return d.Stream == tt.stream && d.Setting == tt.setting && d.Breaks != "" && d.Got != d.Want
			}) {
				t.Errorf("differences: %v, %v; want %s", diffs, err, tt.setting)
			}
			err = b.EnsureStreams(t.Context())
			var broken *bus.StreamError
			var told *bus.Error
			if !errors.Is(err, bus.ErrStreamBroken) || !errors.As(err, &broken) || !errors.As(err, &told) || !strings.Contains(err.Error(), tt.setting) {
				t.Errorf("ensure: %v; want ErrStreamBroken that names %s", err, tt.setting)
			}
			// For the next case: whatever was changed, a new stream is right.
			replaceStream(t, b, tt.stream, func(*jetstream.StreamConfig) {})
		})
	}
}

func replaceStream(t *testing.T, b *bus.Bus, name string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	if err := b.JetStream().DeleteStream(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	spec := bus.LedgerSpec(bus.Config{URL: "nats://x"})
	if name == bus.ParkedStream {
		spec = bus.ParkedSpec(bus.Config{URL: "nats://x"})
	}
	change(&spec)
	if _, err := b.JetStream().CreateStream(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
}

// TestDifferencesThatBreakNothing are listed but not refused.
func TestDifferencesThatBreakNothing(t *testing.T) {
	b := natstest.Open(t, bus.Config{URL: natstest.Start(t).URL()})
	replaceStream(t, b, bus.LedgerStream, func(c *jetstream.StreamConfig) {
		c.MaxAge, c.MaxBytes, c.Subjects = 0, -1, append(c.Subjects, "curfew.v1.extra")
	})
	diffs, err := b.Differences(t.Context())
	if err != nil || len(diffs) != 3 {
		t.Errorf("differences: %v, %v; want 3", diffs, err)
	}
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Errorf("ensure: %v", err)
	}
	if err := b.JetStream().DeleteStream(t.Context(), bus.ParkedStream); err != nil {
		t.Fatal(err)
	}
	if diffs, err = b.Differences(t.Context()); err != nil || !slices.ContainsFunc(diffs, func(d bus.Difference) bool { return d.Got == "missing" }) {
		t.Errorf("with a stream missing: %v, %v", diffs, err)
	}
}

// TestConfigurationIsAppliedToTheEmbeddedServer, which has nobody else to change its streams.
func TestConfigurationIsAppliedToTheEmbeddedServer(t *testing.T) {
	cfg := natstest.Config(t)
	b := natstest.Open(t, cfg)
	mustStore(t, b.Publisher(), newMessage("kept"))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Retention, cfg.MaxBytes, cfg.DuplicateWindow = 100*24*time.Hour, 123<<20, time.Hour
	b = natstest.Open(t, cfg)
	stream, err := b.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	got := stream.CachedInfo()
	if got.Config.MaxAge != cfg.Retention || got.Config.MaxBytes != cfg.MaxBytes || got.Config.Duplicates != cfg.DuplicateWindow || got.State.Msgs != 1 {
		t.Errorf("settings: %+v", got.Config)
	}
}

// TestLedgerLargerThanDisk is an error at the start, with a hint, and not in a month.
func TestLedgerLargerThanDisk(t *testing.T) {
	cfg := natstest.Config(t)
	cfg.MaxBytes = 1 << 60
	b, err := bus.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	var told *bus.Error
	if err := b.EnsureStreams(t.Context()); !errors.As(err, &told) || !strings.Contains(told.Hint, "lower it") {
		t.Errorf("got %v", err)
	}
}

// TestBucketsThatDiffer are told, once they exist; what each process opens is set right by opening it.
func TestBucketsThatDiffer(t *testing.T) {
	b := natstest.Bus(t)
	open := func(change func(*bus.Bucket)) {
		for _, bucket := range []bus.Bucket{bus.KeysBucket(), bus.SecretsBucket(), bus.TicketsBucket(), bus.LeasesBucket(), bus.GatewaysBucket(), bus.SessionsBucket(), bus.SettingsBucket(), bus.ReceiptsBucket(), bus.ReplaysBucket()} {
			change(&bucket)
			if _, err := b.KeyValue(t.Context(), bucket); err != nil {
				t.Fatal(err)
			}
		}
	}
	open(func(*bus.Bucket) {})
	if diffs, err := b.Differences(t.Context()); err != nil || len(diffs) != 0 {
		t.Errorf("as they should be: %v, %v", diffs, err)
	}
	open(func(bucket *bus.Bucket) { bucket.TTL, bucket.History = bucket.TTL/2, bucket.History+1 })
	diffs, err := b.Differences(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range diffs {
		got = append(got, d.String())
	}
	// A history of zero means one, and so does one more than zero.
	want := []string{
		"KV_CURFEW_KEYS: history is 6 instead of 5",
		"KV_CURFEW_TICKETS: max age is 1m0s instead of 2m0s: its entries expire while they are needed",
		"KV_CURFEW_GATEWAYS: max age is 7.5s instead of 15s: its entries expire while they are needed",
		"KV_CURFEW_RECEIPTS: max age is 1080h0m0s instead of 2160h0m0s: its entries expire while they are needed",
		"KV_CURFEW_REPLAYS: max age is 1092h0m0s instead of 2184h0m0s: its entries expire while they are needed",
	}
	if !slices.Equal(got, want) {
		t.Errorf("differences: %q, want %q", got, want)
	}
	open(func(bucket *bus.Bucket) { bucket.TTL += time.Hour })
	diffs, err = b.Differences(t.Context())
	if err != nil || len(diffs) != 9 {
		t.Fatalf("an hour longer: %v, %v", diffs, err)
	}
	for _, d := range diffs {
		// Keys, the secret, leases, sessions and settings would be gone after an hour; a longer memory for tickets, receipts and replays only costs space, and one for gateways names those that are gone.
		if broken := d.Breaks != ""; broken != (d.Stream != "KV_CURFEW_TICKETS" && d.Stream != "KV_CURFEW_GATEWAYS" && d.Stream != "KV_CURFEW_RECEIPTS" && d.Stream != "KV_CURFEW_REPLAYS") {
			t.Errorf("an hour longer: %v", d)
		}
	}
}

func TestKeyValue(t *testing.T) {
	b := natstest.Bus(t)
	bucket := bus.Bucket{Name: "tickets", TTL: time.Hour, History: 2, MarkerTTL: time.Minute, Description: "d"}
	kv, err := b.KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(t.Context(), "a", []byte("1"), jetstream.KeyTTL(time.Minute)); err != nil {
		t.Fatal(err)
	}
	bucket.TTL = 2 * time.Hour
	if kv, err = b.KeyValue(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	status, err := kv.Status(t.Context())
	if err != nil || status.TTL() != 2*time.Hour || status.History() != 2 {
		t.Errorf("status: %+v, %v", status, err)
	}
	if e, err := kv.Get(t.Context(), "a"); err != nil || string(e.Value()) != "1" {
		t.Errorf("get: %v, %v", e, err)
	}
	if _, err := b.KeyValue(t.Context(), bus.Bucket{Name: "not a name"}); err == nil {
		t.Error("bad name accepted")
	}
}
