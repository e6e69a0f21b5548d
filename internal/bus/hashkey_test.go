package bus_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// hashKey returns the ledger's key as it stands in its metadata, which must be one that replicas use.
func hashKey(t *testing.T, b *bus.Bus) string {
	t.Helper()
	key := ledgerConfig(t, b).Metadata[bus.HashKeyMetadata]
	if raw, err := hex.DecodeString(key); err != nil || len(raw) != 16 {
		t.Fatalf("the key is %q, want 16 bytes in hexadecimal", key)
	}
	return key
}

func ledgerConfig(t *testing.T, b *bus.Bus) jetstream.StreamConfig {
	t.Helper()
	stream, err := b.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Config
}

// withoutKey opens a bus on a server whose ledger was made without a key, as by hand or by a version that knew of none.
func withoutKey(t *testing.T, cfg bus.Config, change func(*jetstream.StreamConfig)) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	spec := bus.LedgerSpec(cfg)
	change(&spec)
	if _, err := b.JetStream().CreateStream(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNewLedgerHasAHashKey(t *testing.T) {
	cfg := natstest.Config(t)
	b := natstest.Open(t, cfg)
	key := hashKey(t, b)
	if other := hashKey(t, natstest.Bus(t)); other == key {
		t.Error("two deployments have the same key")
	}
	// Nothing changes it: neither another start nor other settings.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Retention, cfg.DuplicateWindow = 100*24*time.Hour, time.Hour
	b = natstest.Open(t, cfg)
	if got := hashKey(t, b); got != key {
		t.Errorf("the key was %s and is %s after a restart with other settings", key, got)
	}
	if diffs, err := b.Differences(t.Context()); err != nil || len(diffs) != 0 {
		t.Errorf("differences: %v, %v", diffs, err)
	}
}

func TestLedgerWithoutAHashKeyGetsOne(t *testing.T) {
	keep := func(*jetstream.StreamConfig) {}
	spoil := func(c *jetstream.StreamConfig) {
		c.Metadata = map[string]string{bus.HashKeyMetadata: "no key", "owner": "ops"}
	}
	t.Run("embedded", func(t *testing.T) {
		b := withoutKey(t, natstest.Config(t), keep)
		if err := b.EnsureStreams(t.Context()); err != nil {
			t.Fatal(err)
		}
		hashKey(t, b)
	})
	t.Run("external", func(t *testing.T) {
		b := withoutKey(t, bus.Config{URL: natstest.Start(t).URL()}, spoil)
		before := ledgerConfig(t, b)
		if err := b.EnsureStreams(t.Context()); err != nil {
			t.Fatal(err)
		}
		hashKey(t, b)
		// Nothing else of an external ledger is touched.
		after := ledgerConfig(t, b)
		ours := func(k, _ string) bool { return k == bus.HashKeyMetadata || k == bus.RetentionMetadata }
		maps.DeleteFunc(before.Metadata, ours)
		maps.DeleteFunc(after.Metadata, ours)
		if before, after := fmt.Sprint(before), fmt.Sprint(after); before != after {
			t.Errorf("the ledger was\n%s\nand is\n%s", before, after)
		}
	})
}

// Whatever the order in which processes that start at once write, there is one key, and nobody ever sees another.
func TestProcessesThatStartAtOnceAgreeOnAHashKey(t *testing.T) {
	for _, tt := range []struct {
		name   string
		exists bool
	}{{"no ledger", false}, {"a ledger without a key", true}} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := bus.Config{URL: natstest.Start(t).URL()}
			if tt.exists {
				withoutKey(t, cfg, func(*jetstream.StreamConfig) {})
			}
			const processes = 8
			buses := make([]*bus.Bus, processes)
			for i := range buses {
				var err error
				if buses[i], err = bus.Open(t.Context(), cfg); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = buses[i].Close() })
			}
			keys := make([]string, processes)
			var starting sync.WaitGroup
			for i, b := range buses {
				starting.Go(func() {
					if err := b.EnsureStreams(t.Context()); err != nil {
						t.Error(err)
						return
					}
					stream, err := b.JetStream().Stream(t.Context(), bus.LedgerStream)
					if err != nil {
						t.Error(err)
						return
					}
					keys[i] = stream.CachedInfo().Config.Metadata[bus.HashKeyMetadata]
				})
			}
			starting.Wait()
			want := hashKey(t, buses[0])
			for i, got := range keys {
				if got != want {
					t.Errorf("process %d saw the key %q, the ledger has %s", i, got, want)
				}
			}
		})
	}
}

// A process that may not change the ledger works without a key, and doesn't wait long for being refused.
func TestNoRightToGiveAHashKey(t *testing.T) {
	srv := natstest.Start(t, natstest.With(func(o *server.Options) {
		deny := &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.UPDATE.>"}}}
		o.Users = []*server.User{{Username: "admin", Password: "p"}, {Username: "plain", Password: "p", Permissions: deny}}
	}))
	withoutKey(t, bus.Config{URL: "nats://admin:p@" + srv.Addr()}, func(*jetstream.StreamConfig) {})
	b, err := bus.Open(t.Context(), bus.Config{URL: "nats://plain:p@" + srv.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := b.EnsureStreams(ctx); err != nil {
		t.Errorf("ensure: %v; want to go on without a key", err)
	}
	mustStore(t, b.Publisher(), newMessage("x"))
}
