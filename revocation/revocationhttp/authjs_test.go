package revocationhttp_test

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	josecipher "github.com/go-jose/go-jose/v4/cipher"
	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

const (
	authJSSecret = "the secret of an application that is guarded here"
	v5Name       = "authjs.session-token"
	v4Name       = "next-auth.session-token"
)

// key5 and key4 derive a key as Auth.js does.
func key5(secret, name string) []byte {
	return derive(secret, name, "Auth.js Generated Encryption Key ("+name+")", 64)
}

func key4(secret string) []byte {
	return derive(secret, "", "NextAuth.js Generated Encryption Key", 32)
}

func derive(secret, salt, info string, n int) []byte {
	key, err := hkdf.Key(sha256.New, []byte(secret), []byte(salt), info, n)
	if err != nil {
		panic(err)
	}
	return key
}

func kidOf(key []byte) string {
	sum := sha512.Sum512([]byte(`{"k":"` + b64(key) + `","kty":"oct"}`))
	return b64(sum[:])
}

// sealRaw encrypts a payload under a header as they are, without what a library would refuse: by AES-CBC with HMAC if the key is 64 bytes long
// (or 32 for A128CBC-HS256), else by AES-GCM.
func sealRaw(key []byte, cbc bool, header, payload string) string {
	var aead cipher.AEAD
	var err error
	if cbc {
		aead, err = josecipher.NewCBCHMAC(key, aes.NewCipher)
	} else {
		var block cipher.Block
		if block, err = aes.NewCipher(key); err == nil {
			aead, err = cipher.NewGCM(block)
		}
	}
	if err != nil {
		panic(err)
	}
	iv := make([]byte, aead.NonceSize())
	_, _ = rand.Read(iv)
	tagBytes := 16
	if cbc {
		tagBytes = len(key) / 2
	}
	sealed := aead.Seal(nil, iv, []byte(payload), []byte(b64([]byte(header))))
	cut := len(sealed) - tagBytes
	return strings.Join([]string{b64([]byte(header)), "", b64(iv), b64(sealed[:cut]), b64(sealed[cut:])}, ".")
}

// seal5 and seal4 make a cookie of the default name over http.
func seal5(payload string) string {
	key := key5(authJSSecret, v5Name)
	return sealRaw(key, true, `{"alg":"dir","enc":"A256CBC-HS512","kid":"`+kidOf(key)+`"}`, payload)
}

func seal4(payload string) string {
	return sealRaw(key4(authJSSecret), false, `{"alg":"dir","enc":"A256GCM"}`, payload)
}

// authJSClaims returns the claims of a good cookie with some changed; nil removes one.
func authJSClaims(changes map[string]any) string {
	now := time.Now()
	c := map[string]any{
		"sub": "ada", "sid": "s1", "name": "Ada", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": "j1",
		"auth_time_ms": now.Add(-time.Hour).UnixMilli(),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func wantNoSession(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, revocationhttp.ErrNoSession) || errors.Is(err, revocationhttp.ErrInvalidToken) {
		t.Errorf("got %v, want no session", err)
	}
}

func wantInvalid(t *testing.T, err error, why string) {
	t.Helper()
	if !errors.Is(err, revocationhttp.ErrInvalidToken) || errors.Is(err, revocationhttp.ErrNoSession) || !strings.Contains(err.Error(), why) {
		t.Errorf("got %v, want an invalid token: %s", err, why)
	}
}

func wantNoSessionOrInvalid(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, revocationhttp.ErrNoSession) == errors.Is(err, revocationhttp.ErrInvalidToken) {
		t.Fatalf("got %v, want no session or an invalid token", err)
	}
}

// Each of these is refused, and its reason quotes nothing of it.
func TestAuthJSAttacks(t *testing.T) {
	good := authJSClaims(nil)
	k5, k4 := key5(authJSSecret, v5Name), key4(authJSSecret)
	h5 := func(members string) string {
		return sealRaw(k5, true, `{"alg":"dir","enc":"A256CBC-HS512","kid":"`+kidOf(k5)+`"`+members+`}`, good)
	}
	h4 := func(members string) string {
		return sealRaw(k4, false, `{"alg":"dir","enc":"A256GCM"`+members+`}`, good)
	}
	parts5, parts4 := strings.Split(seal5(good), "."), strings.Split(seal4(good), ".")
	with5 := func(i int, part string) string { return replacePart(parts5, i, part) }
	with4 := func(i int, part string) string { return replacePart(parts4, i, part) }
	stranger := func(name string) string {
		key := key5("the secret of somebody else entirely", name)
		return sealRaw(key, true, `{"alg":"dir","enc":"A256CBC-HS512"}`, good)
	}
	encrypted := func(alg jose.KeyAlgorithm, enc jose.ContentEncryption, key any, zip jose.CompressionAlgorithm) string {
		e, err := jose.NewEncrypter(enc, jose.Recipient{Algorithm: alg, Key: key}, &jose.EncrypterOptions{Compression: zip})
		if err != nil {
			t.Fatal(err)
		}
		obj, err := e.Encrypt([]byte(good))
		if err != nil {
			t.Fatal(err)
		}
		token, err := obj.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	otherEnc := sealRaw(derive(authJSSecret, v5Name, "Auth.js Generated Encryption Key ("+v5Name+")", 32), true, `{"alg":"dir","enc":"A128CBC-HS256"}`, good)
	// Auth.js 5 would read this one, and never writes it.
	gcm5 := sealRaw(derive(authJSSecret, v5Name, "Auth.js Generated Encryption Key ("+v5Name+")", 32), false, `{"alg":"dir","enc":"A256GCM"}`, good)
	claims := func(name string, v any) string { return v5Name + "=" + seal5(authJSClaims(map[string]any{name: v})) }
	twice := func(member string) string {
		return v5Name + "=" + seal5(strings.TrimSuffix(good, "}")+","+member+"}")
	}
	v5, v4 := func(token string) string { return v5Name + "=" + token }, func(token string) string { return v4Name + "=" + token }
	chunks := func(name, token string, at ...int) string {
		var pairs []string
		for i, n := range at {
			end := len(token)
			if i+1 < len(at) {
				end = (i + 1) * len(token) / len(at)
			}
			pairs = append(pairs, fmt.Sprintf("%s.%d=%s", name, n, token[i*len(token)/len(at):end]))
		}
		return strings.Join(pairs, "; ")
	}

	tests := []struct{ name, cookies, why string }{
		// Keys.
		{"v5: another secret, no kid", v5(stranger(v5Name)), "doesn't decrypt"},
		{"v5: another secret, its kid", v5(sealRaw(key5("the secret of somebody else entirely", v5Name), true, `{"alg":"dir","enc":"A256CBC-HS512","kid":"`+kidOf(key5("the secret of somebody else entirely", v5Name))+`"}`, good)), "kid"},
		{"v5: another secret, our kid", v5(sealRaw(key5("the secret of somebody else entirely", v5Name), true, `{"alg":"dir","enc":"A256CBC-HS512","kid":"`+kidOf(k5)+`"}`, good)), "doesn't decrypt"},
		{"v5: our secret, a kid of nobody", v5(sealRaw(k5, true, `{"alg":"dir","enc":"A256CBC-HS512","kid":"k"}`, good)), "kid"},
		{"v5: an empty kid", v5(sealRaw(k5, true, `{"alg":"dir","enc":"A256CBC-HS512","kid":""}`, good)), "kid"},
		{"v5: a cookie of another name", "__Secure-" + v5Name + "=" + seal5(good), "kid"},
		{"v5: another name, no kid", "__Secure-" + v5Name + "=" + sealRaw(k5, true, `{"alg":"dir","enc":"A256CBC-HS512"}`, good), "doesn't decrypt"},
		{"v4: another secret", v4(sealRaw(key4("the secret of somebody else entirely"), false, `{"alg":"dir","enc":"A256GCM"}`, good)), "doesn't decrypt"},
		{"v4: with a kid", v4(h4(`,"kid":"` + kidOf(k4) + `"`)), "kid"},
		{"v4 under v5's name", v5(seal4(good)), "enc"},
		{"v5 under v4's name", v4(seal5(good)), "enc"},
		// Algorithms.
		{"another enc", v5(otherEnc), "enc"},
		{"v5 by GCM", v5(gcm5), "enc"},
		{"enc of the other version", v5(replaceHeader(parts4, `{"alg":"dir","enc":"A256CBC-HS512"}`)), "length"},
		{"A256KW", v5(encrypted(jose.A256KW, jose.A256CBC_HS512, k5[:32], "")), "alg"},
		{"RSA-OAEP", v5(encrypted(jose.RSA_OAEP, jose.A256CBC_HS512, &issuerKey().PublicKey, "")), "alg"},
		{"alg none", v5(replaceHeader(parts5, `{"alg":"none","enc":"A256CBC-HS512"}`)), "alg"},
		{"no alg", v5(sealRaw(k5, true, `{"enc":"A256CBC-HS512"}`, good)), "alg is missing"},
		{"no enc", v5(sealRaw(k5, true, `{"alg":"dir"}`, good)), "enc"},
		{"alg a number", v5(sealRaw(k5, true, `{"alg":1,"enc":"A256CBC-HS512"}`, good)), "header"},
		{"alg twice", v5(sealRaw(k5, true, `{"alg":"dir","alg":"dir","enc":"A256CBC-HS512"}`, good)), "header"},
		{"kid null", v5(sealRaw(k5, true, `{"alg":"dir","enc":"A256CBC-HS512","kid":null}`, good)), "header"},
		{"header null", v5(sealRaw(k5, true, `null`, good)), "alg is missing"},
		{"header no JSON", v5(sealRaw(k5, true, `dir`, good)), "header"},
		// Headers.
		{"zip by go-jose", v5(encrypted(jose.DIRECT, jose.A256CBC_HS512, k5, jose.DEFLATE)), "header"},
		{"a bomb", v5(sealRaw(k5, true, `{"alg":"dir","enc":"A256CBC-HS512","zip":"DEF"}`, deflated(t, `{"sub":"`+strings.Repeat("a", 200_000)+`"}`))), "header"},
		{"v4: zip", v4(h4(`,"zip":"DEF"`)), "header"},
		{"crit", v5(h5(`,"crit":["exp"],"exp":1`)), "header"},
		{"crit, empty", v5(h5(`,"crit":[]`)), "header"},
		{"b64", v5(h5(`,"b64":false`)), "header"},
		{"jwk", v5(h5(`,"jwk":{"kty":"oct","k":"AAAA"}`)), "header"},
		{"v4: typ", v4(h4(`,"typ":"JWT"`)), "header"},
		// Parts.
		{"an encrypted key", v5(with5(1, "AAAA")), "encrypted key"},
		{"iv changed", v5(with5(2, flip(parts5[2]))), "doesn't decrypt"},
		{"iv short", v5(with5(2, parts5[2][:8])), "length"},
		{"iv missing", v5(with5(2, "")), "length"},
		{"ciphertext changed", v5(with5(3, flip(parts5[3]))), "doesn't decrypt"},
		{"ciphertext missing", v5(with5(3, "")), "doesn't decrypt"},
		{"ciphertext of no whole block", v5(with5(3, shorter(parts5[3]))), "doesn't decrypt"},
		{"tag changed", v5(with5(4, flip(parts5[4]))), "doesn't decrypt"},
		{"tag short", v5(with5(4, parts5[4][:16])), "length"},
		{"tag missing", v5(with5(4, "")), "length"},
		{"v4: iv changed", v4(with4(2, flip(parts4[2]))), "doesn't decrypt"},
		{"v4: iv long", v4(with4(2, parts4[2]+"AAAA")), "length"},
		{"v4: ciphertext changed", v4(with4(3, flip(parts4[3]))), "doesn't decrypt"},
		{"v4: tag changed", v4(with4(4, flip(parts4[4]))), "doesn't decrypt"},
		{"v4: tag short", v4(with4(4, parts4[4][:8])), "length"},
		{"the tag begins in the ciphertext", v5(borrow(parts5)), "length"},
		{"v4: the tag begins in the ciphertext", v4(borrow(parts4)), "length"},
		{"another header", v5(replaceHeader(parts5, `{"alg":"dir","enc":"A256CBC-HS512"}`)), "doesn't decrypt"},
		{"cut short", v5(strings.Join(parts5, ".")[:200]), ""},
		{"four parts", v5(strings.Join(parts5[:4], ".")), "five parts"},
		{"six parts", v5(strings.Join(parts5, ".") + "."), "five parts"},
		{"bits left over", v5(with5(4, spare(parts5[4]))), "base64url"},
		{"padding", v5(with5(2, parts5[2]+"==")), "base64url"},
		{"percent-encoded", v5(strings.ReplaceAll(strings.Join(parts5, "."), ".", "%2E")), "five parts"},
		{"no token", v5("0b1f8b1e-6e0b-4d1c-9f43-5b3f2c9be3a7"), "five parts"}, // the strategy "database"
		{"a JWS", v5("e30.e30.AAAA"), "five parts"},
		// Cookies.
		{"twice", v5(seal5(good)) + "; " + v5(seal5(good)), "more than one"},
		{"twice, once empty", v5Name + "=; " + v5(seal5(good)), "more than one"},
		{"twice, once quoted", `"` + v5Name + `"=x; ` + v5(seal5(good)), "more than one"},
		{"twice, behind a comma", "theme=dark, " + v5Name + "=x; " + v5(seal5(good)), "more than one"},
		{"twice, once behind a space of Latin-1", "\xa0" + v5Name + "=x; " + v5(seal5(good)), "more than one"},
		{"twice, once before a space of Unicode", v5Name + "\u00a0=x; " + v5(seal5(good)), "more than one"},
		{"behind a comma only", "theme=dark, " + v5(seal5(good)), "malformed"},
		{"in unreadable quotes", v5Name + `="\145yJ` + seal5(good)[3:] + `"`, "malformed"},
		{"whole and in chunks", v5(seal5(good)) + "; " + chunks(v5Name, seal5(good), 0, 1), "both"},
		{"a chunk twice", chunks(v5Name, seal5(good), 0, 1, 1), "more than one"},
		{"first chunk missing", chunks(v5Name, seal5(good), 1, 2), "chunk 0 is missing"},
		{"a chunk between missing", chunks(v5Name, seal5(good), 0, 2), "chunk 1 is missing"},
		{"a chunk between empty", chunks(v5Name, seal5(good), 0, 2) + "; " + v5Name + ".1=", "chunk 1 is missing"},
		{"last chunk missing", chunks(v5Name, strings.Join(parts5[:4], "."), 0, 1), "five parts"},
		{"chunks in another order", chunks(v5Name, seal5(good), 1, 0), ""},
		{"a seventeenth chunk", chunks(v5Name, seal5(good), 0, 16), "chunks"},
		{"chunk 01", v5Name + ".00=" + seal5(good), "chunks"},
		{"chunk -1", v5Name + ".-1=" + seal5(good), "chunks"},
		{"a longer name", v5Name + "-2=x; " + v5(seal5(good)), "chunks"},
		{"too long", v5(seal5(authJSClaims(map[string]any{"picture": strings.Repeat("a", 13_000)}))), "longer than 16384 bytes"},
		{"too long in chunks", chunks(v5Name, seal5(authJSClaims(map[string]any{"picture": strings.Repeat("a", 13_000)})), 0, 1, 2, 3, 4), "longer than 16384 bytes"},
		{"two names, two sessions", v5(seal5(good)) + "; " + v4(seal4(authJSClaims(map[string]any{"sid": "s2"}))), "different sessions"},
		{"two names, two auth times", v5(seal5(good)) + "; " + v4(seal4(authJSClaims(map[string]any{"auth_time_ms": 1}))), "different sessions"},
		{"two names, one of them bad", v5(seal5(good)) + "; __Secure-" + v4("x"), "five parts"},
		{"two names, one of them another secret's", v5(seal5(good)) + "; __Secure-" + v5(stranger("__Secure-"+v5Name)), "doesn't decrypt"},
		// Claims.
		{"claims null", v5(seal5("null")), "exp is missing"},
		{"claims an array", v5(seal5("[]")), "claims"},
		{"claims a string", v5(seal5(`"ada"`)), "claims"},
		{"claims empty", v5(seal5("")), "claims"},
		{"claims and more", v5(seal5(good + "{}")), "claims"},
		{"claims not UTF-8", v5(seal5(strings.Replace(good, "Ada", "Ad\xff", 1))), "claims"},
		{"sid twice", twice(`"sid":"s2"`), "claims"},
		{"exp twice", twice(`"exp":99999999999`), "claims"},
		{"no exp", claims("exp", nil), "exp is missing"},
		{"exp a string", claims("exp", "99999999999"), "exp"},
		{"exp negative", claims("exp", -1), "exp"},
		{"sid a number", claims("sid", 7), `"sid"`},
		{"sid an array", claims("sid", []string{"s1"}), `"sid"`},
		{"sid too long", claims("sid", strings.Repeat("s", events.MaxIDBytes+1)), `"sid"`},
		{"sid with a control character", claims("sid", "s1\nsecret-sid"), `"sid"`},
		{"sid with half a surrogate pair", v5(seal5(strings.Replace(good, `"s1"`, `"s\ud800"`, 1))), `"sid"`},
		{"sub a number", claims("sub", 7), `"sub"`},
		{"sub an object", claims("sub", map[string]any{"id": "ada"}), `"sub"`},
		{"device a number", claims("device_id", 7), `"device_id"`},
		{"client a number", claims("client_id", 7), `"client_id"`},
		{"auth time a string", claims("auth_time_ms", "1"), "auth_time_ms"},
		{"auth time negative", claims("auth_time_ms", -1), "auth_time_ms"},
		{"auth time of broken milliseconds", claims("auth_time_ms", 1.5), "auth_time_ms"},
		{"auth time of a wrong kind beside a good one", claims("auth_time_ms", true), "auth_time_ms"},
		{"auth time in milliseconds where seconds belong", v5(seal5(authJSClaims(map[string]any{"auth_time_ms": nil, "auth_time": 1767225600123}))), "auth_time_ms"},
	}
	a := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret)})
	for _, cookies := range []string{v5(seal5(good)), v4(seal4(good)), v5(h5("")), v4(h4("")), chunks(v5Name, seal5(good), 0, 1, 2)} {
		if _, err := a.Session(withCookies(cookies)); err != nil {
			t.Fatalf("a good one: %v", err)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := a.Session(withCookies(tt.cookies))
			wantInvalid(t, err, tt.why)
			if s != (revocation.Session{}) {
				t.Errorf("a session beside an error: %+v", s)
			}
			for _, secret := range []string{authJSSecret, "secret-sid", "Ada", parts5[3][:12], parts4[3][:12], "767225600"} {
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("%s is quoted: %v", secret, err)
				}
			}
		})
	}
}

func replacePart(parts []string, i int, part string) string {
	changed := append([]string{}, parts...)
	changed[i] = part
	return strings.Join(changed, ".")
}

func replaceHeader(parts []string, header string) string {
	return replacePart(parts, 0, b64([]byte(header)))
}

// flip changes one bit in the middle.
func flip(part string) string {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		panic(err)
	}
	b[len(b)/2] ^= 1
	return b64(b)
}

// shorter leaves out the last byte.
func shorter(part string) string {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		panic(err)
	}
	return b64(b[:len(b)-1])
}

// spare changes a bit that stands for nothing.
func spare(part string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(part) - 1
	return part[:last] + string(alphabet[strings.IndexByte(alphabet, part[last])^1])
}

// borrow moves the end of the ciphertext into the tag.
func borrow(parts []string) string {
	ciphertext, _ := base64.RawURLEncoding.DecodeString(parts[3])
	tag, _ := base64.RawURLEncoding.DecodeString(parts[4])
	cut := len(ciphertext) - 16
	return strings.Join([]string{parts[0], parts[1], parts[2], b64(ciphertext[:cut]), b64(append(ciphertext[cut:], tag...))}, ".")
}

func deflated(t *testing.T, text string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func TestAuthJSSessions(t *testing.T) {
	const began = 1767225600123
	base := revocation.Session{Tenant: "default", ID: "s1", User: "ada", AuthTime: time.UnixMilli(began).UTC()}
	with := func(change func(*revocation.Session)) revocation.Session {
		s := base
		change(&s)
		return s
	}
	tests := []struct {
		name   string
		cfg    revocationhttp.AuthJSConfig
		claims map[string]any
		want   revocation.Session
	}{
		{name: "plain", want: base},
		{name: "device and client", claims: map[string]any{"device_id": "laptop", "azp": "web"},
			want: with(func(s *revocation.Session) { s.Device, s.Client = "laptop", "web" })},
		{name: "no sid", claims: map[string]any{"sid": nil}, want: with(func(s *revocation.Session) { s.ID = "" })},
		{name: "no sub", claims: map[string]any{"sub": nil}, want: with(func(s *revocation.Session) { s.User = "" })},
		{name: "sid null", claims: map[string]any{"sid": json.RawMessage("null")}, want: with(func(s *revocation.Session) { s.ID = "" })},
		// iat is never taken for it: it is new at each read.
		{name: "no auth time", claims: map[string]any{"auth_time_ms": nil}, want: with(func(s *revocation.Session) { s.AuthTime = time.Time{} })},
		{name: "auth time in seconds", claims: map[string]any{"auth_time_ms": nil, "auth_time": 1767225600},
			want: with(func(s *revocation.Session) { s.AuthTime = time.Unix(1767225600, 0).UTC() })},
		{name: "milliseconds before seconds", claims: map[string]any{"auth_time": 1}, want: base},
		{name: "another tenant", cfg: revocationhttp.AuthJSConfig{TenantName: "acme"}, want: with(func(s *revocation.Session) { s.Tenant = "acme" })},
		{name: "tenant in a claim", cfg: revocationhttp.AuthJSConfig{Claims: revocationhttp.Claims{Tenant: "org"}}, claims: map[string]any{"org": "acme"},
			want: with(func(s *revocation.Session) { s.Tenant = "acme" })},
		{name: "other claims", cfg: revocationhttp.AuthJSConfig{Claims: revocationhttp.Claims{Session: "session", User: "userId", Device: "dev", Client: "app"}},
			claims: map[string]any{"session": "s2", "userId": "bob", "dev": "d", "app": "a"},
			want:   with(func(s *revocation.Session) { s.ID, s.User, s.Device, s.Client = "s2", "bob", "d", "a" })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claims := map[string]any{"auth_time_ms": began}
			maps.Copy(claims, tt.claims)
			tt.cfg.Secrets = secretsOf(authJSSecret)
			a := newAuthJS(t, tt.cfg)
			payload := authJSClaims(claims)
			for _, cookies := range [][]string{{v5Name + "=" + seal5(payload)}, {v4Name + "=" + seal4(payload)}, {v4Name + "=" + seal4(payload), v5Name + "=" + seal5(payload)}} {
				got, err := a.Session(withCookies(cookies...))
				if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
					t.Errorf("%v (-want +got):\n%s", err, diff)
				}
			}
		})
	}
	a := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret), Claims: revocationhttp.Claims{Tenant: "org"}})
	_, err := a.Session(withCookies(v5Name + "=" + seal5(authJSClaims(nil))))
	wantInvalid(t, err, "tenant")
}

func TestAuthJSWithoutCookie(t *testing.T) {
	bearer := withCookies()
	bearer.Header.Set("Authorization", "Bearer "+seal5(authJSClaims(nil)))
	a := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret)})
	for name, r := range map[string]*http.Request{
		"no cookie": withCookies(), "others": withCookies("theme=dark; authjs.csrf-token=a; __Secure-authjs.callback-url=b"),
		"empty": withCookies(v5Name + "="), "empty chunks": withCookies(v5Name + ".0=; " + v5Name + ".1="), "cleared": withCookies(v5Name + "=; " + v5Name + ".0="),
		"another case": withCookies("Authjs.Session-Token=a"), "bearer": bearer,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.Session(r)
			wantNoSession(t, err)
		})
	}
}

// Auth.js takes a bearer token where it finds no cookie, and it may look for another one than the one that was checked.
func TestAuthJSBesideABearer(t *testing.T) {
	own, other := authJSClaims(nil), authJSClaims(map[string]any{"sid": "s2"})
	escaped := strings.ReplaceAll(seal4(other), ".", "%2E")
	a := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret)})
	for _, tt := range []struct {
		name          string
		authorization []string
		good          bool
	}{
		{"another session", []string{"Bearer " + seal4(other)}, false},
		{"another session of version 5", []string{"Bearer " + seal5(other)}, false},
		{"another session, escaped", []string{"bearer  " + escaped}, false},
		{"another session in a second header", []string{"Basic YTpi", "Bearer " + seal4(other)}, false},
		{"another session, expired", []string{"Bearer " + seal4(authJSClaims(map[string]any{"exp": 1}))}, false},
		{"the same session", []string{"Bearer " + seal4(own)}, true},
		{"somebody else's encrypted token", []string{"Bearer " + sealRaw(key4("the secret of somebody else entirely"), false, `{"alg":"dir","enc":"A256GCM"}`, other)}, true},
		{"a JWT", []string{"Bearer e30.e30.AAAA"}, true},
		{"no escape", []string{"Bearer %zz"}, true},
		{"basic", []string{"Basic YTpi"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := withCookies(v4Name + "=" + seal4(own))
			r.Header["Authorization"] = tt.authorization
			_, err := a.Session(r)
			if !tt.good {
				wantInvalid(t, err, "Authorization")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// Secrets rotate: the one that a cookie names is found among all, and one that names none is tried with all.
func TestAuthJSRotation(t *testing.T) {
	newest := "the newest secret of all of them"
	payload := authJSClaims(nil)
	key := key5(authJSSecret, v5Name)
	for name, cookie := range map[string]string{
		"v5": v5Name + "=" + seal5(payload), "v4": v4Name + "=" + seal4(payload),
		"v5 without kid": v5Name + "=" + sealRaw(key, true, `{"alg":"dir","enc":"A256CBC-HS512"}`, payload),
	} {
		t.Run(name, func(t *testing.T) {
			for _, secrets := range [][]string{{authJSSecret}, {newest, authJSSecret}, {authJSSecret, newest}} {
				if _, err := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(secrets...)}).Session(withCookies(cookie)); err != nil {
					t.Error(err)
				}
			}
			_, err := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(newest)}).Session(withCookies(cookie))
			wantInvalid(t, err, "")
		})
	}
}

func TestAuthJSNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret)})
		nbf := time.Now().Add(time.Minute)
		r := withCookies(v5Name + "=" + seal5(authJSClaims(map[string]any{"nbf": nbf.Unix()})))
		time.Sleep(time.Minute - 15*time.Second - time.Millisecond)
		_, err := a.Session(r)
		wantInvalid(t, err, "not valid yet")
		time.Sleep(time.Millisecond)
		if _, err := a.Session(r); err != nil {
			t.Error(err)
		}
	})
}

// Traps 2 and 29: iat isn't compared, and a missing claim doesn't pass. A copied cookie is good until its session is revoked, however often Auth.js has given it a new iat since.
func TestAuthJSGuards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret), CookieName: v5Name})
		r := newRig(t, revocationhttp.Config{Session: a.Session})
		synctest.Wait()
		get := func(changes map[string]any) string {
			w := httptest.NewRecorder()
			r.guard.Handler(ok).ServeHTTP(w, withCookies(v5Name+"="+seal5(authJSClaims(changes))))
			var p struct{ Code string }
			_ = json.Unmarshal(w.Body.Bytes(), &p)
			return fmt.Sprint(w.Code, " ", p.Code)
		}
		check := func(name, want string, changes map[string]any) {
			t.Helper()
			if got := get(changes); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		}
		began := time.Now().Add(-time.Hour).UnixMilli()
		check("good", "200 ", map[string]any{"auth_time_ms": began})
		check("no sid", "401 session_claims_missing", map[string]any{"sid": nil})
		check("no sub", "401 session_claims_missing", map[string]any{"sub": nil})
		check("no auth time", "401 session_claims_missing", map[string]any{"auth_time_ms": nil})
		check("bad", "401 invalid_token", map[string]any{"exp": 1})

		r.feed.Publish(loggedOutEverywhere(t, "ada"))
		synctest.Wait()
		time.Sleep(time.Minute)
		check("read again after the logout", "401 session_revoked", map[string]any{"auth_time_ms": began, "iat": time.Now().Unix()})
		check("signed in again", "200 ", map[string]any{"sid": "s2", "auth_time_ms": time.Now().UnixMilli()})
	})
}

func TestNewAuthJSRefuses(t *testing.T) {
	many := make([]string, revocationhttp.MaxAuthJSSecrets+1)
	for i := range many {
		many[i] = fmt.Sprint("a secret of many, and this is number ", i)
	}
	tests := []struct {
		name string
		cfg  revocationhttp.AuthJSConfig
		want []string
	}{
		{"nothing", revocationhttp.AuthJSConfig{}, []string{"Secrets is required"}},
		{"zero secret", revocationhttp.AuthJSConfig{Secrets: []revocationhttp.AuthJSSecret{{}}}, []string{"number 1 is empty"}},
		{"empty secret", revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret, "")}, []string{"number 2 is empty"}},
		{"short secret", revocationhttp.AuthJSConfig{Secrets: secretsOf(strings.Repeat("x", revocationhttp.MinAuthJSSecretBytes-1))}, []string{"number 1 is shorter than 16 bytes", "openssl rand"}},
		{"many secrets", revocationhttp.AuthJSConfig{Secrets: secretsOf(many...)}, []string{"9 are more than 8"}},
		{"everything at once", revocationhttp.AuthJSConfig{CookieName: "a b", TenantName: "*", Claims: revocationhttp.Claims{Tenant: "org"}},
			[]string{"Secrets is required", "CookieName", "exclude each other", "TenantName must be"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := revocationhttp.NewAuthJS(tt.cfg)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q isn't said in: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "xxxx") {
				t.Errorf("a secret is quoted: %v", err)
			}
		})
	}
	if _, err := revocationhttp.NewAuthJS(revocationhttp.AuthJSConfig{Secrets: secretsOf(many[:revocationhttp.MaxAuthJSSecrets]...)}); err != nil {
		t.Error(err)
	}
}

func TestAuthJSSecretNeverPrints(t *testing.T) {
	cfg := revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret)}
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, cfg), fmt.Sprintf(verb, &cfg), fmt.Sprintf(verb, cfg.Secrets[0]))
	}
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("a", "secret", cfg.Secrets[0])
	shown = append(shown, string(asJSON), log.String(), cfg.Secrets[0].String())
	for _, text := range shown {
		if strings.Contains(text, authJSSecret) || strings.Contains(text, fmt.Sprintf("%x", authJSSecret)) || !strings.Contains(text, "(authjs secret)") {
			t.Errorf("shown as %s", text)
		}
	}
	// The reader holds keys that are as good as the secrets.
	text := fmt.Sprintf("%+v %#v", newAuthJS(t, cfg), *newAuthJS(t, cfg))
	for _, key := range [][]byte{key5(authJSSecret, v5Name), key4(authJSSecret)} {
		if strings.Contains(text, strings.Trim(fmt.Sprint(key), "[]")) || strings.Contains(text, fmt.Sprintf("%x", key)) || strings.Contains(text, b64(key)) {
			t.Error("the reader shows a key")
		}
	}
}
