package revocationnats_test

import (
	"context"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

var errEnough = errors.New("enough")

// headOnly is a sink that wants the head and nothing else.
type headOnly struct {
	revocation.Sink
	head *revocation.Head
}

func (s headOnly) Begin(h revocation.Head) (uint64, error) {
	*s.head = h
	return 0, errEnough
}

func headOf(t *testing.T, f *revocationnats.Feed) revocation.Head {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var head revocation.Head
	if err := f.Follow(ctx, headOnly{head: &head}); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	return head
}

// The feed reads the key that curfew serve writes.
func TestHashKey(t *testing.T) {
	b := natstest.Bus(t)
	stream, err := b.JetStream().Stream(t.Context(), "CURFEW")
	if err != nil {
		t.Fatal(err)
	}
	want := stream.CachedInfo().Config.Metadata[revocationnats.HashKeyMetadata]
	got := headOf(t, revocationnats.NewFeed(b.JetStream(), revocationnats.Config{})).HashKey
	if got == [16]byte{} || hex.EncodeToString(got[:]) != want {
		t.Errorf("the feed tells the key %x, the ledger has %q", got, want)
	}
}

// What isn't a key is none: the replica makes its own.
func TestNoHashKey(t *testing.T) {
	for name, metadata := range map[string]map[string]string{
		"none":             nil,
		"something else":   {revocationnats.HashKeyMetadata: "no key"},
		"shorter than one": {revocationnats.HashKeyMetadata: "00112233"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, quick)
			cfg := ledger()
			cfg.Metadata = metadata
			if _, err := r.js.UpdateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			if got := headOf(t, r.feed).HashKey; got != [16]byte{} {
				t.Errorf("the feed tells the key %x, want none", got)
			}
		})
	}
}
