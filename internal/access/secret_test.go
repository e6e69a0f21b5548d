package access_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

func secrets(t *testing.T, b *bus.Bus) jetstream.KeyValue {
	t.Helper()
	kv, err := b.KeyValue(t.Context(), bus.Bucket{Name: "CURFEW_SECRETS"})
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func TestSecretIsTheSameForAll(t *testing.T) {
	srv := natstest.Start(t)
	const processes = 6
	derived := make([][]byte, processes)
	var work sync.WaitGroup
	for i := range processes {
		kv := secrets(t, natstest.Open(t, bus.Config{URL: srv.URL()}))
		work.Go(func() {
			s, err := access.LoadSecret(t.Context(), kv)
			if err != nil {
				t.Error(err)
				return
			}
			derived[i] = s.Derive("ticket")
		})
	}
	work.Wait()
	srv.Restart()
	s, err := access.LoadSecret(t.Context(), secrets(t, natstest.Open(t, bus.Config{URL: srv.URL()})))
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range derived {
		if len(d) != 32 || !bytes.Equal(d, s.Derive("ticket")) {
			t.Errorf("process %d derived another key", i)
		}
	}
}

func TestSecretDerivesByPurpose(t *testing.T) {
	s, err := access.LoadSecret(t.Context(), secrets(t, natstest.Bus(t)))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, purpose := range []string{"ticket", "log-hash", "message-id", "", "tick", "ticket "} {
		k := hex.EncodeToString(s.Derive(purpose))
		if other, ok := seen[k]; ok {
			t.Errorf("%q and %q give the same key", purpose, other)
		}
		seen[k] = purpose
	}
	other, err := access.LoadSecret(t.Context(), secrets(t, natstest.Bus(t)))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(s.Derive("ticket"), other.Derive("ticket")) {
		t.Error("two deployments share a secret")
	}
}

func TestSecretNeverPrints(t *testing.T) {
	kv := secrets(t, natstest.Bus(t))
	s, err := access.LoadSecret(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, s); got != "(secret)" {
			t.Errorf("%s prints %s", verb, got)
		}
		if got := fmt.Sprintf(verb, struct{ S access.Secret }{s}); !strings.Contains(got, "(secret)") {
			t.Errorf("%s of a struct with a secret prints something else", verb)
		}
	}
	if b, err := json.Marshal([]any{s}); err != nil || string(b) != "[{}]" {
		t.Errorf("JSON: %s %v", b, err)
	}
	if _, err := kv.Put(t.Context(), "deployment", []byte("short and secret")); err != nil {
		t.Fatal(err)
	}
	if _, err := access.LoadSecret(t.Context(), kv); err == nil || strings.Contains(err.Error(), "short and secret") || !strings.Contains(err.Error(), "32 bytes") {
		t.Errorf("a damaged secret: %v", err)
	}
}

func TestSecretNeedsNATS(t *testing.T) {
	b := natstest.Bus(t)
	kv := secrets(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := access.LoadSecret(t.Context(), kv); err == nil {
		t.Error("a process without NATS has made up a secret of its own")
	}
}
