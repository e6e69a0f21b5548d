package revocationhttp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// knownAlgorithms are the signature algorithms that can be listed. "none" isn't one of them.
var knownAlgorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	jose.HS256, jose.HS384, jose.HS512,
}

func isSymmetric(alg jose.SignatureAlgorithm) bool { return strings.HasPrefix(string(alg), "HS") }

// minRSABits is what NIST SP 800-131A and RFC 7518 section 3.3 ask of an RSA key.
const minRSABits = 2048

// maxKeys bounds a key set.
const maxKeys = 100

// KeySource says where the keys that verify tokens come from: [StaticKey], [StaticJWKS] or [JWKS]. It can't be implemented elsewhere.
type KeySource interface {
	// open checks the source and returns its keys, for the algorithms that are allowed.
	open(algorithms []jose.SignatureAlgorithm) (keyring, error)
}

// keyring finds keys.
type keyring interface {
	// find returns the keys that may have signed a token with this kid and algorithm: at least one, or an error that wraps
	// ErrInvalidToken or ErrKeysUnavailable.
	find(ctx context.Context, kid string, alg jose.SignatureAlgorithm) ([]any, error)
	close()
}

// StaticKey is one key: an *rsa.PublicKey of at least 2048 bits, an *ecdsa.PublicKey, an ed25519.PublicKey or, for HS256 to HS512, a
// secret []byte as long as the hash (32 bytes for HS256). A token's kid is ignored. NewJWT refuses what doesn't fit all algorithms.
func StaticKey(key any) KeySource { return staticKey{key} }

// StaticJWKS is a JSON Web Key Set (RFC 7517) that doesn't change, public keys only. Keys that can't verify tokens (use "enc", another
// algorithm, a short or an unknown key) are skipped; NewJWT refuses a set in which none is left.
func StaticJWKS(set []byte) KeySource { return staticSet(bytes.Clone(set)) }

type staticKey struct{ key any }

func (s staticKey) open(algorithms []jose.SignatureAlgorithm) (keyring, error) {
	for _, alg := range algorithms {
		if err := fits(s.key, alg); err != nil {
			return nil, err
		}
	}
	key := s.key
	if secret, ok := key.([]byte); ok {
		key = bytes.Clone(secret)
	}
	return oneKey{key}, nil
}

// oneKey is a keyring of one key.
type oneKey struct{ key any }

func (o oneKey) find(context.Context, string, jose.SignatureAlgorithm) ([]any, error) {
	return []any{o.key}, nil
}

func (oneKey) close() {}

type staticSet []byte

func (s staticSet) open(algorithms []jose.SignatureAlgorithm) (keyring, error) {
	if slices.ContainsFunc(algorithms, isSymmetric) {
		return nil, errors.New("a key set holds public keys: use StaticKey for HS256 to HS512")
	}
	set, err := parseKeySet(s, algorithms)
	return fixedSet{set}, err
}

// fixedSet is a keyring that doesn't change.
type fixedSet struct{ set keySet }

func (f fixedSet) find(_ context.Context, kid string, alg jose.SignatureAlgorithm) ([]any, error) {
	keys := f.set.find(kid, alg)
	if len(keys) == 0 {
		return nil, errUnknownKey
	}
	return keys, nil
}

func (fixedSet) close() {}

var errUnknownKey = bad("no key of the set has its kid and fits its algorithm")

// keySet is a parsed JSON Web Key Set. It isn't changed.
type keySet []jose.JSONWebKey

// find returns the keys that fit. A token without kid is verified only where there is no choice: OpenID Connect Core 1.0 section 10.1
// asks for a kid otherwise, and trying all keys would let a stranger's token cost as much as a hundred.
func (s keySet) find(kid string, alg jose.SignatureAlgorithm) []any {
	var found []any
	for _, k := range s {
		if (kid == "" || k.KeyID == kid) && (k.Algorithm == "" || k.Algorithm == string(alg)) && fits(k.Key, alg) == nil {
			found = append(found, k.Key)
		}
	}
	if kid == "" && len(found) > 1 {
		return nil
	}
	return found
}

// parseKeySet reads the keys that can verify tokens signed with one of the algorithms, and skips others (RFC 7517 section 5). A set in
// which none is left is an error: an empty answer never replaces a set.
func parseKeySet(b []byte, algorithms []jose.SignatureAlgorithm) (keySet, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, errors.New("not a JSON Web Key Set")
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set holds %d keys, more than %d", len(raw.Keys), maxKeys)
	}
	var set keySet
	for _, b := range raw.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(b, &k) != nil || !k.IsPublic() || (k.Use != "" && k.Use != "sig") || !canVerify(b) {
			continue
		}
		usable := func(alg jose.SignatureAlgorithm) bool {
			return (k.Algorithm == "" || k.Algorithm == string(alg)) && fits(k.Key, alg) == nil
		}
		if slices.ContainsFunc(algorithms, usable) {
			set = append(set, k)
		}
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("none of the %d keys of the set can verify tokens signed with one of %v", len(raw.Keys), algorithms)
	}
	return set, nil
}

// canVerify reports whether a key's key_ops, which go-jose doesn't read, allow verifying (RFC 7517 section 4.3).
func canVerify(b []byte) bool {
	var k struct {
		Ops []string `json:"key_ops"`
	}
	return json.Unmarshal(b, &k) == nil && (k.Ops == nil || slices.Contains(k.Ops, "verify"))
}

// fits returns nil if key can verify alg, or why not.
func fits(key any, alg jose.SignatureAlgorithm) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key == nil || key.N == nil || key.N.BitLen() < minRSABits {
			return fmt.Errorf("the RSA key is shorter than %d bits: make a longer one", minRSABits)
		}
		if strings.HasPrefix(string(alg), "RS") || strings.HasPrefix(string(alg), "PS") {
			return nil
		}
	case *ecdsa.PublicKey:
		curves := map[jose.SignatureAlgorithm]elliptic.Curve{jose.ES256: elliptic.P256(), jose.ES384: elliptic.P384(), jose.ES512: elliptic.P521()}
		if curve := curves[alg]; key != nil && curve != nil && key.Curve == curve {
			return nil
		}
	case ed25519.PublicKey:
		if alg == jose.EdDSA && len(key) == ed25519.PublicKeySize {
			return nil
		}
	case []byte:
		return secretFits(key, alg)
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		return errors.New("the key is private: give its public half")
	}
	return fmt.Errorf("a key of type %T can't verify %s", key, alg)
}

// secretFits holds secrets to the length of the hash (RFC 7518 section 3.2).
func secretFits(secret []byte, alg jose.SignatureAlgorithm) error {
	least := map[jose.SignatureAlgorithm]int{jose.HS256: 32, jose.HS384: 48, jose.HS512: 64}[alg]
	switch {
	case least == 0:
		return fmt.Errorf("a secret can't verify %s", alg)
	case bytes.HasPrefix(bytes.TrimSpace(secret), []byte("-----BEGIN")):
		return errors.New("the secret is a PEM block: parse the key, and list its algorithm")
	case len(secret) < least:
		return fmt.Errorf("the secret is shorter than %d bytes, what %s needs: make a longer one at random", least, alg)
	}
	return nil
}
