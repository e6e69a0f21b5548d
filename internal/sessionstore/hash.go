package sessionstore

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Hasher names sessions and users in a store, where names show in topics, keys and the tools that list them. Its zero value is of no use.
type Hasher struct{ key []byte }

// NewHasher returns a hasher with the deployment's key for it.
func NewHasher(key []byte) Hasher { return Hasher{key: key} }

// Session returns the name of a session: 32 hexadecimal digits.
func (h Hasher) Session(key Key) string { return h.name("session", key.Tenant, key.ID) }

// User returns the name of a user.
func (h Hasher) User(tenant, user string) string { return h.name("user", tenant, user) }

// name is over typed parts, each with its length, so that no two lists of parts are alike.
func (h Hasher) name(parts ...string) string {
	mac := hmac.New(sha256.New, h.key)
	var length [4]byte
	for _, p := range parts {
		binary.BigEndian.PutUint32(length[:], uint32(len(p)))
		_, _ = mac.Write(length[:])
		_, _ = mac.Write([]byte(p))
	}
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
