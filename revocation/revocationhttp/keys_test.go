package revocationhttp_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestJWTConfigFaults(t *testing.T) {
	rs, hs := []jose.SignatureAlgorithm{jose.RS256}, []jose.SignatureAlgorithm{jose.HS256}
	static, remote := revocationhttp.StaticKey, revocationhttp.JWKS
	pub := &issuerKey().PublicKey
	p256 := ecKey(t, elliptic.P256())
	// weak is the shortest that crypto/rsa makes, 1024 bits.
	weak := rsaKey("weak", 1024)
	for _, tc := range []struct {
		name string
		cfg  revocationhttp.JWTConfig
		want string
	}{
		{"nothing", revocationhttp.JWTConfig{MaxTokenBytes: -1}, "Algorithms is required"},
		{"no keys", revocationhttp.JWTConfig{Algorithms: rs}, "Keys is required"},
		{"none", revocationhttp.JWTConfig{Algorithms: []jose.SignatureAlgorithm{"none"}, Keys: static(pub)}, "isn't a signature algorithm"},
		{"mixture", revocationhttp.JWTConfig{Algorithms: append(rs[:1:1], jose.HS256), Keys: static(pub)}, "don't mix"},
		{"negative size", revocationhttp.JWTConfig{Algorithms: rs, Keys: static(pub), MaxTokenBytes: -1}, "MaxTokenBytes"},
		{"two tenants", revocationhttp.JWTConfig{Algorithms: rs, Keys: static(pub), TenantName: "a", Claims: revocationhttp.Claims{Tenant: "b"}}, "exclude each other"},
		{"bad tenant", revocationhttp.JWTConfig{Algorithms: rs, Keys: static(pub), TenantName: "A B"}, "TenantName must be"},
		{"empty audience", revocationhttp.JWTConfig{Algorithms: rs, Keys: static(pub), Audience: []string{""}}, "Audience"},
		{"nil key", revocationhttp.JWTConfig{Algorithms: rs, Keys: static(nil)}, "can't verify"},
		{"private key", revocationhttp.JWTConfig{Algorithms: rs, Keys: static(issuerKey())}, "private"},
		{"short RSA", revocationhttp.JWTConfig{Algorithms: rs, Keys: static(&weak.PublicKey)}, "2048"},
		{"RSA for HS256", revocationhttp.JWTConfig{Algorithms: hs, Keys: static(pub)}, "can't verify HS256"},
		{"wrong curve", revocationhttp.JWTConfig{Algorithms: []jose.SignatureAlgorithm{jose.ES384}, Keys: static(&p256.PublicKey)}, "can't verify ES384"},
		{"secret for RS256", revocationhttp.JWTConfig{Algorithms: rs, Keys: static(make([]byte, 64))}, "can't verify RS256"},
		{"short secret", revocationhttp.JWTConfig{Algorithms: hs, Keys: static(make([]byte, 31))}, "shorter than 32"},
		{"short secret for HS512", revocationhttp.JWTConfig{Algorithms: append(hs[:1:1], jose.HS512), Keys: static(make([]byte, 63))}, "shorter than 64"},
		{"PEM as secret", revocationhttp.JWTConfig{Algorithms: hs, Keys: static([]byte("-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEF"))}, "PEM"},
		{"static set with HS256", revocationhttp.JWTConfig{Algorithms: hs, Keys: revocationhttp.StaticJWKS(keySet("a"))}, "use StaticKey"},
		{"remote set with HS256", revocationhttp.JWTConfig{Algorithms: hs, Keys: remote(revocationhttp.JWKSConfig{URL: "https://x"})}, "use StaticKey"},
		{"no set", revocationhttp.JWTConfig{Algorithms: rs, Keys: revocationhttp.StaticJWKS([]byte("[]"))}, "not a JSON Web Key Set"},
		{"empty set", revocationhttp.JWTConfig{Algorithms: rs, Keys: revocationhttp.StaticJWKS([]byte(`{"keys":[]}`))}, "none of the 0 keys"},
		{"set for another algorithm", revocationhttp.JWTConfig{Algorithms: []jose.SignatureAlgorithm{jose.ES256}, Keys: revocationhttp.StaticJWKS(keySet("a"))}, "none of the 1 keys"},
		{"no URL", revocationhttp.JWTConfig{Algorithms: rs, Keys: remote(revocationhttp.JWKSConfig{})}, "absolute https URL"},
		{"http", revocationhttp.JWTConfig{Algorithms: rs, Keys: remote(revocationhttp.JWKSConfig{URL: "http://id.example.com/jwks"})}, "must be https"},
		{"http to what looks like loopback", revocationhttp.JWTConfig{Algorithms: rs, Keys: remote(revocationhttp.JWKSConfig{URL: "http://127.0.0.1.example.com/"})}, "must be https"},
		{"file", revocationhttp.JWTConfig{Algorithms: rs, Keys: remote(revocationhttp.JWKSConfig{URL: "file://localhost/etc/passwd"})}, "must be https"},
		{"credentials", revocationhttp.JWTConfig{Algorithms: rs, Keys: remote(revocationhttp.JWKSConfig{URL: "https://u:hunter2@x/"})}, "without credentials"},
		{"negative timeout", revocationhttp.JWTConfig{Algorithms: rs, Keys: remote(revocationhttp.JWKSConfig{URL: "https://x", Timeout: -1})}, "Timeout"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := revocationhttp.NewJWT(tc.cfg)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("NewJWT = %v, want a word about %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error quotes the URL's password: %v", err)
			}
		})
	}
}

// Each algorithm verifies with its kind of key.
func TestAlgorithms(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret := bytes.Repeat([]byte("s"), 64)
	for _, tc := range []struct {
		alg     jose.SignatureAlgorithm
		private any
		public  any
	}{
		{jose.RS256, issuerKey(), nil}, {jose.PS512, issuerKey(), nil}, {jose.HS256, secret, secret}, {jose.HS384, secret, secret}, {jose.HS512, secret, secret},
		{jose.ES256, ecKey(t, elliptic.P256()), nil}, {jose.ES384, ecKey(t, elliptic.P384()), nil}, {jose.ES512, ecKey(t, elliptic.P521()), nil},
		{jose.EdDSA, ed, ed.Public()},
	} {
		t.Run(string(tc.alg), func(t *testing.T) {
			switch key := tc.private.(type) {
			case *ecdsa.PrivateKey:
				tc.public = &key.PublicKey
			default:
				if tc.public == nil {
					tc.public = &issuerKey().PublicKey
				}
			}
			j := newJWT(t, func(c *revocationhttp.JWTConfig) {
				c.Algorithms, c.Keys = []jose.SignatureAlgorithm{tc.alg}, revocationhttp.StaticKey(tc.public)
			})
			check(t, j, signRaw(t, tc.alg, tc.private, "", with(nil)), nil)
		})
	}
}

// Which key of a set verifies what.
func TestKeySelection(t *testing.T) {
	weak := rsaKey("weak", 1024)
	ec := ecKey(t, elliptic.P256())
	key := func(k any, kid, alg, use string) json.RawMessage {
		b, err := json.Marshal(jose.JSONWebKey{Key: k, KeyID: kid, Algorithm: alg, Use: use})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	withOps := func(raw json.RawMessage, ops string) json.RawMessage {
		return json.RawMessage(strings.TrimSuffix(string(raw), "}") + `,"key_ops":` + ops + "}")
	}
	a, b := rsaKey("a", 2048), rsaKey("b", 2048)
	set := func(keys ...json.RawMessage) []byte {
		raw, err := json.Marshal(map[string]any{"keys": keys})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	other := key(&b.PublicKey, "b", "RS256", "sig")
	head := func(kid string) string {
		if kid == "" {
			return `{"alg":"RS256"}`
		}
		return `{"alg":"RS256","kid":"` + kid + `"}`
	}
	bad := revocationhttp.ErrInvalidToken
	for _, tc := range []struct {
		name string
		set  []byte
		kid  string
		want error
	}{
		{"by kid", set(other, key(&a.PublicKey, "a", "", "")), "a", nil},
		{"another's kid", set(other, key(&a.PublicKey, "a", "", "")), "b", bad},
		{"use enc", set(other, key(&a.PublicKey, "a", "", "enc")), "a", bad},
		{"alg of another kind", set(other, key(&a.PublicKey, "a", "PS256", "sig")), "a", bad},
		{"ops without verify", set(other, withOps(key(&a.PublicKey, "a", "", ""), `["encrypt"]`)), "a", bad},
		{"ops with verify", set(other, withOps(key(&a.PublicKey, "a", "", ""), `["verify"]`)), "a", nil},
		{"private key in the set", set(other, key(a, "a", "", "")), "a", bad},
		{"no kid, one key", set(key(&a.PublicKey, "a", "", "")), "", nil},
		{"no kid, one key that fits", set(key(&a.PublicKey, "a", "", ""), key(&ec.PublicKey, "e", "", "")), "", nil},
		{"no kid, two keys", set(other, key(&a.PublicKey, "a", "", "")), "", bad},
		{"kid twice", set(key(&b.PublicKey, "a", "", ""), key(&a.PublicKey, "a", "", "")), "a", nil},
		{"beside unknown keys", set([]json.RawMessage{[]byte(`{"kty":"new"}`), []byte(`5`), []byte(`{"kty":"RSA","n":"!!"}`), key(&a.PublicKey, "a", "", "")}...), "a", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := newJWT(t, func(c *revocationhttp.JWTConfig) {
				c.Algorithms, c.Keys = []jose.SignatureAlgorithm{jose.RS256, jose.ES256}, revocationhttp.StaticJWKS(tc.set)
			})
			check(t, j, signRaw(t, jose.RS256, a, head(tc.kid), with(nil)), tc.want)
		})
	}
	t.Run("short RSA key", func(t *testing.T) {
		j := newJWT(t, func(c *revocationhttp.JWTConfig) {
			c.Keys = revocationhttp.StaticJWKS(set(other, key(&weak.PublicKey, "a", "", "")))
		})
		check(t, j, signRaw(t, jose.RS256, weak, head("a"), with(nil)), bad)
	})
}
