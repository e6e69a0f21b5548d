package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/nats-io/nats.go/jetstream"
)

const secretEntry = "deployment"

// Secret is the deployment's secret: 32 random bytes that all its processes share. It never prints.
type Secret struct{ bytes []byte }

// String returns a fixed text.
func (Secret) String() string { return "(secret)" }

// Format writes what String returns, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LoadSecret returns the secret from the bucket. The first process of a deployment makes it; a second that starts at the same time takes the
// first one's.
func LoadSecret(ctx context.Context, kv jetstream.KeyValue) (Secret, error) {
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh)
	_, err := kv.Create(ctx, secretEntry, fresh)
	switch {
	case err == nil:
		return Secret{fresh}, nil
	case !errors.Is(err, jetstream.ErrKeyExists):
		return Secret{}, fmt.Errorf("make the deployment's secret: %w", err)
	}
	entry, err := kv.Get(ctx, secretEntry)
	if err != nil {
		return Secret{}, fmt.Errorf("read the deployment's secret: %w", err)
	}
	if len(entry.Value()) != 32 {
		return Secret{}, errors.New("the deployment's secret isn't 32 bytes long: restore the bucket from a backup, or purge it and restart every process")
	}
	return Secret{entry.Value()}, nil
}

// Derive returns a 32-byte key for one purpose: HMAC-SHA256 of the purpose under the secret, which is uniformly random. Different purposes
// give independent keys.
func (s Secret) Derive(purpose string) []byte {
	mac := hmac.New(sha256.New, s.bytes)
	mac.Write([]byte("curfew/" + purpose))
	return mac.Sum(nil)
}
