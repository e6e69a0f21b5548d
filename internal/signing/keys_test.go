package signing_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/signing"
)

const typ = "curfew-receipt"

func bucket(t *testing.T, b *bus.Bus) jetstream.KeyValue {
	t.Helper()
	kv, err := b.KeyValue(t.Context(), bus.SecretsBucket())
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func open(t *testing.T, kv jetstream.KeyValue) *signing.Keys {
	t.Helper()
	keys, err := signing.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestAllProcessesSignWithTheSameKey(t *testing.T) {
	srv := natstest.Start(t)
	const processes = 6
	tokens := make([]string, processes)
	var work sync.WaitGroup
	for i := range processes {
		kv := bucket(t, natstest.Open(t, bus.Config{URL: srv.URL()}))
		work.Go(func() {
			keys, err := signing.Open(t.Context(), kv)
			if err != nil {
				t.Error(err)
				return
			}
			tokens[i], _ = keys.Sign(typ, []byte("payload"))
		})
	}
	work.Wait()
	srv.Restart()
	public := open(t, bucket(t, natstest.Open(t, bus.Config{URL: srv.URL()}))).Public()
	for i, token := range tokens {
		if payload, kid, err := signing.Verify(public, typ, token); err != nil || string(payload) != "payload" || kid != public.Keys[0].KeyID {
			t.Errorf("process %d: %q by %s: %v", i, payload, kid, err)
		}
	}
}

func TestVerify(t *testing.T) {
	keys := open(t, bucket(t, natstest.Bus(t)))
	other := open(t, bucket(t, natstest.Bus(t)))
	token, err := keys.Sign(typ, []byte(`{"event":"e-1"}`))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	forged := base64.RawURLEncoding.EncodeToString([]byte(`{"event":"e-2"}`))
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"` + typ + `"}`))
	swapped := other.Public()
	swapped.Keys[0].KeyID = keys.Public().Keys[0].KeyID
	for _, tt := range []struct {
		name  string
		token string
		want  error
	}{
		{"as it is", token, nil},
		{"another payload", parts[0] + "." + forged + "." + parts[2], signing.ErrSignature},
		{"no signature", parts[0] + "." + parts[1] + ".", signing.ErrSignature},
		{"no algorithm (RFC 8725 section 3.1)", unsigned + "." + parts[1] + ".", signing.ErrMalformed},
		{"nothing", "", signing.ErrMalformed},
		{"no token", "receipt", signing.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			payload, _, err := signing.Verify(keys.Public(), typ, tt.token)
			if !errors.Is(err, tt.want) || (err == nil) != (string(payload) == `{"event":"e-1"}`) {
				t.Errorf("got %q, %v; want %v", payload, err, tt.want)
			}
		})
	}
	if _, _, err := signing.Verify(keys.Public(), "curfew-checkpoint", token); !errors.Is(err, signing.ErrType) {
		t.Errorf("of another type: %v", err)
	}
	if _, _, err := signing.Verify(other.Public(), typ, token); !errors.Is(err, signing.ErrUnknownKey) {
		t.Errorf("by keys of another deployment: %v", err)
	}
	if _, _, err := signing.Verify(swapped, typ, token); !errors.Is(err, signing.ErrSignature) {
		t.Errorf("by another key of the same name: %v", err)
	}
}

func TestPublicKeysAreAJWKSetWithoutSecrets(t *testing.T) {
	kv := bucket(t, natstest.Bus(t))
	keys := open(t, kv)
	data, err := json.Marshal(keys.Public())
	if err != nil {
		t.Fatal(err)
	}
	stored, err := kv.Get(t.Context(), "signing")
	if err != nil {
		t.Fatal(err)
	}
	var e struct{ Keys []struct{ Seed []byte } }
	if err := json.Unmarshal(stored.Value(), &e); err != nil || len(e.Keys) != 1 {
		t.Fatalf("%s: %v", stored.Value(), err)
	}
	seed := base64.RawURLEncoding.EncodeToString(e.Keys[0].Seed)
	for _, printed := range []string{string(data), fmt.Sprintf("%v %+v %#v", keys, keys, keys)} {
		if strings.Contains(printed, seed) || strings.Contains(printed, `"d"`) {
			t.Errorf("the private half is printed: %s", printed)
		}
	}
	public, err := signing.ParsePublic(data)
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Sign(typ, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := signing.Verify(public, typ, token); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "{}", `{"keys":[]}`, `{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"a","alg":"EdDSA"}]}`} {
		if _, err := signing.ParsePublic([]byte(bad)); !errors.Is(err, signing.ErrKeys) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestDamagedKeysAreNotReplaced(t *testing.T) {
	kv := bucket(t, natstest.Bus(t))
	for _, damaged := range []string{"", "secret text", `{"v":1}`, `{"v":1,"keys":[{"seed":"c2hvcnQ="}]}`, `{"v":2,"keys":[]}`} {
		if _, err := kv.Put(t.Context(), "signing", []byte(damaged)); err != nil {
			t.Fatal(err)
		}
		_, err := signing.Open(t.Context(), kv)
		if !errors.Is(err, signing.ErrDamaged) || !strings.Contains(err.Error(), "nats kv del CURFEW_SECRETS signing") || strings.Contains(err.Error(), "secret text") {
			t.Errorf("%q: %v", damaged, err)
		}
	}
}

func TestNoKeysWithoutNATS(t *testing.T) {
	b := natstest.Bus(t)
	kv := bucket(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := signing.Open(t.Context(), kv); err == nil {
		t.Error("a process without NATS has made up a key of its own")
	}
}
