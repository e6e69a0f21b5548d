package revocationhttp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

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
	sealed := func(alg jose.KeyAlgorithm, enc jose.ContentEncryption, key any, zip jose.CompressionAlgorithm) string {
		return encrypted(t, jose.Recipient{Algorithm: alg, Key: key}, enc, zip, good)
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
		{"A256KW", v5(sealed(jose.A256KW, jose.A256CBC_HS512, k5[:32], "")), "alg"},
		{"RSA-OAEP", v5(sealed(jose.RSA_OAEP, jose.A256CBC_HS512, &issuerKey().PublicKey, "")), "alg"},
		{"alg none", v5(replaceHeader(parts5, `{"alg":"none","enc":"A256CBC-HS512"}`)), "alg"},
		{"no alg", v5(sealRaw(k5, true, `{"enc":"A256CBC-HS512"}`, good)), "alg is missing"},
		{"no enc", v5(sealRaw(k5, true, `{"alg":"dir"}`, good)), "enc"},
		{"alg a number", v5(sealRaw(k5, true, `{"alg":1,"enc":"A256CBC-HS512"}`, good)), "header"},
		{"alg twice", v5(sealRaw(k5, true, `{"alg":"dir","alg":"dir","enc":"A256CBC-HS512"}`, good)), "header"},
		{"kid null", v5(sealRaw(k5, true, `{"alg":"dir","enc":"A256CBC-HS512","kid":null}`, good)), "header"},
		{"header null", v5(sealRaw(k5, true, `null`, good)), "alg is missing"},
		{"header no JSON", v5(sealRaw(k5, true, `dir`, good)), "header"},
		// Headers.
		{"zip by go-jose", v5(sealed(jose.DIRECT, jose.A256CBC_HS512, k5, jose.DEFLATE)), "header"},
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
