package signing

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/nats-io/nats.go/jetstream"
)

// entryName is the entry of the bucket.
const entryName = "signing"

// ErrDamaged is returned by Open for an entry that isn't one of keys.
var ErrDamaged = errors.New("the entry signing of the bucket CURFEW_SECRETS holds no keys")

// Keys are a deployment's keys. They are safe for concurrent use, and never print. Make them with Open.
type Keys struct {
	// all has at least one; the last signs.
	all []key
}

type key struct {
	private ed25519.PrivateKey
	public  jose.JSONWebKey
}

// entry is what the bucket holds.
type entry struct {
	V    int        `json:"v"`
	Keys []keyEntry `json:"keys"`
}

type keyEntry struct {
	// Seed is the private half (RFC 8032 section 5.1.5).
	Seed []byte    `json:"seed"`
	Made time.Time `json:"made"`
}

// Open reads the keys from the bucket, and makes the first where there is none. It returns ErrDamaged, and what NATS says.
func Open(ctx context.Context, kv jetstream.KeyValue) (*Keys, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("make the key that signs: %w", err)
	}
	fresh, err := json.Marshal(entry{V: 1, Keys: []keyEntry{{Seed: private.Seed(), Made: time.Now().UTC().Truncate(time.Second)}}})
	if err != nil {
		return nil, fmt.Errorf("make the key that signs: %w", err)
	}
	_, err = kv.Create(ctx, entryName, fresh)
	switch {
	case err == nil:
		return parse(fresh)
	case !errors.Is(err, jetstream.ErrKeyExists):
		return nil, fmt.Errorf("make the key that signs: %w", err)
	}
	stored, err := kv.Get(ctx, entryName)
	if err != nil {
		return nil, fmt.Errorf("read the keys that sign: %w", err)
	}
	return parse(stored.Value())
}

// parse says nothing of what it has read: it is secret.
func parse(data []byte) (*Keys, error) {
	damaged := fmt.Errorf("%w: restore it from a backup; if there is none, delete it with nats kv del CURFEW_SECRETS signing and restart every process, and what was signed before can be checked with a kept public key only", ErrDamaged)
	var e entry
	if json.Unmarshal(data, &e) != nil || e.V != 1 || len(e.Keys) == 0 {
		return nil, damaged
	}
	keys := &Keys{}
	for _, k := range e.Keys {
		if len(k.Seed) != ed25519.SeedSize {
			return nil, damaged
		}
		private := ed25519.NewKeyFromSeed(k.Seed)
		public := jose.JSONWebKey{Key: private.Public(), Algorithm: string(jose.EdDSA), Use: "sig"}
		thumbprint, err := public.Thumbprint(crypto.SHA256)
		if err != nil {
			return nil, damaged
		}
		public.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
		keys.all = append(keys.all, key{private: private, public: public})
	}
	return keys, nil
}

// String returns a fixed text.
func (*Keys) String() string { return "(keys that sign)" }

// Format writes what String returns, whatever the verb.
func (k *Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// Public returns the public halves of all keys, the one that signs last.
func (k *Keys) Public() jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, one := range k.all {
		set.Keys = append(set.Keys, one.public)
	}
	return set
}

// Sign signs payload, which may be anything, as typ.
func (k *Keys) Sign(typ string, payload []byte) (token string, err error) {
	newest := k.all[len(k.all)-1]
	opts := (&jose.SignerOptions{}).WithType(jose.ContentType(typ)).WithHeader("kid", newest.public.KeyID)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: newest.private}, opts)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	if token, err = signed.CompactSerialize(); err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return token, nil
}
