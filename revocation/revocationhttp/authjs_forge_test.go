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
	"maps"
	"strings"
	"testing"
	"time"

	josecipher "github.com/go-jose/go-jose/v4/cipher"
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
	key, _ := hkdf.Key(sha256.New, []byte(secret), []byte(salt), info, n) // fails only for far longer keys
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
	// Keys are as long as the ciphers want them, so nothing fails.
	if cbc {
		aead, _ = josecipher.NewCBCHMAC(key, aes.NewCipher)
	} else {
		block, _ := aes.NewCipher(key)
		aead, _ = cipher.NewGCM(block)
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
	b, _ := json.Marshal(c) // claims of tables can be written
	return string(b)
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
	b, _ := base64.RawURLEncoding.DecodeString(part) // of a cookie that was sealed here
	b[len(b)/2] ^= 1
	return b64(b)
}

// shorter leaves out the last byte.
func shorter(part string) string {
	b, _ := base64.RawURLEncoding.DecodeString(part) // of a cookie that was sealed here
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
