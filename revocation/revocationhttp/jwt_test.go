package revocationhttp_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

const (
	issuer   = "https://id.example.com"
	audience = "https://api.example.com"
)

// rsaKey makes each key of a name once: making one takes a while under -race.
var rsaKey = func() func(name string, bits int) *rsa.PrivateKey {
	var mu sync.Mutex
	made := map[string]*rsa.PrivateKey{}
	return func(name string, bits int) *rsa.PrivateKey {
		mu.Lock()
		defer mu.Unlock()
		if made[name] == nil {
			key, err := rsa.GenerateKey(rand.Reader, bits)
			if err != nil {
				panic(err)
			}
			made[name] = key
		}
		return made[name]
	}
}()

func issuerKey() *rsa.PrivateKey { return rsaKey("issuer", 2048) }

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// signRaw signs a header and a payload as they are, without what a library would refuse.
func signRaw(t testing.TB, alg jose.SignatureAlgorithm, key any, header, payload string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// go-jose makes the header itself; only its signature over the right bytes is of use for a header of our own.
	if header == "" {
		obj, err := signer.Sign([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		token, err := obj.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return input + "." + b64(signRS256(t, key, input))
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(input))
		return input + "." + b64(mac.Sum(nil))
	}
	t.Fatalf("no raw signing with %T", key)
	return ""
}

// good returns the claims of a good token.
func good() map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": issuer, "aud": audience, "sub": "u1", "sid": "s1", "exp": now.Add(5 * time.Minute).Unix(), "iat": now.Unix(),
		"auth_time_ms": now.Add(-time.Hour).UnixMilli(),
	}
}

// with returns the good claims with some changed; nil removes one.
func with(changes map[string]any) string {
	c := good()
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func newJWT(t testing.TB, change func(*revocationhttp.JWTConfig)) *revocationhttp.JWT {
	t.Helper()
	cfg := revocationhttp.JWTConfig{
		Algorithms: []jose.SignatureAlgorithm{jose.RS256}, Keys: revocationhttp.StaticKey(&issuerKey().PublicKey),
		Issuer: issuer, Audience: []string{audience},
	}
	if change != nil {
		change(&cfg)
	}
	j, err := revocationhttp.NewJWT(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// The attack table (reliability facts, row 28), as far as it concerns access tokens.
func TestAttacks(t *testing.T) {
	key, stranger := issuerKey(), rsaKey("stranger", 2048)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	strangerJWK, err := json.Marshal(jose.JSONWebKey{Key: &stranger.PublicKey, KeyID: "k"})
	if err != nil {
		t.Fatal(err)
	}
	sign := func(header, payload string) string { return signRaw(t, jose.RS256, key, header, payload) }
	forge := func(header string) string { return signRaw(t, jose.RS256, stranger, header, with(nil)) }
	claims := func(name string, v any) string { return sign("", with(map[string]any{name: v})) }
	twice := func(member string) string { return sign("", strings.TrimSuffix(with(nil), "}")+","+member+"}") }
	none := `{"alg":"none"}`
	hs := signRaw(t, jose.HS256, []byte(publicPEM), `{"alg":"HS256"}`, with(nil))
	now := time.Now()
	goodToken := sign("", with(nil))
	parts := strings.Split(goodToken, ".")

	tokens := map[string]string{
		"empty": "", "dots": "..", "one part": "abc", "not base64": "!!.??.**", "JSON serialization": `{"payload":"e30","signatures":[]}`,
		"none":                     b64([]byte(none)) + "." + b64([]byte(with(nil))) + ".",
		"None":                     b64([]byte(`{"alg":"None"}`)) + "." + b64([]byte(with(nil))) + ".",
		"none with a signature":    sign(none, with(nil)),
		"no alg":                   sign(`{"typ":"JWT"}`, with(nil)),
		"alg twice":                sign(`{"alg":"RS256","alg":"RS256"}`, with(nil)),
		"HS256 with the RSA key":   hs,
		"alg that isn't listed":    signRaw(t, jose.PS256, key, "", with(nil)),
		"signature left out":       parts[0] + "." + parts[1] + ".",
		"signature changed":        parts[0] + "." + parts[1] + "." + "AAAA" + parts[2][4:],
		"payload changed":          parts[0] + "." + b64([]byte(with(map[string]any{"sub": "u2"}))) + "." + parts[2],
		"detached payload":         parts[0] + ".." + parts[2],
		"stranger's key":           forge(`{"alg":"RS256"}`),
		"jwk in the header":        forge(`{"alg":"RS256","jwk":` + string(strangerJWK) + `}`),
		"jku in the header":        forge(`{"alg":"RS256","kid":"k","jku":"http://127.0.0.1:1/jwks"}`),
		"x5u in the header":        forge(`{"alg":"RS256","x5u":"http://127.0.0.1:1/cert"}`),
		"x5c that isn't one":       forge(`{"alg":"RS256","x5c":["AAAA"]}`),
		"kid traversal":            signRaw(t, jose.HS256, make([]byte, 32), `{"alg":"HS256","kid":"../../../../dev/null"}`, with(nil)),
		"kid with a NUL":           sign(`{"alg":"RS256","kid":"a\u0000b"}`, with(nil)),
		"kid too long":             sign(`{"alg":"RS256","kid":"`+strings.Repeat("k", 257)+`"}`, with(nil)),
		"kid not a string":         sign(`{"alg":"RS256","kid":1}`, with(nil)),
		"crit":                     sign(`{"alg":"RS256","crit":["exp"],"exp":1}`, with(nil)),
		"crit b64":                 sign(`{"alg":"RS256","crit":["b64"],"b64":true}`, with(nil)),
		"b64 alone":                sign(`{"alg":"RS256","b64":true}`, with(nil)),
		"JWE":                      encrypted(t, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: &key.PublicKey}, jose.A128GCM, "", with(nil)),
		"typ of a logout token":    sign(`{"alg":"RS256","typ":"logout+jwt"}`, with(nil)),
		"typ of a security event":  sign(`{"alg":"RS256","typ":"secevent+jwt"}`, with(nil)),
		"typ not a string":         sign(`{"alg":"RS256","typ":["JWT"]}`, with(nil)),
		"events claim":             claims("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}),
		"wrong iss":                claims("iss", "https://evil.example.com"),
		"iss with a slash":         claims("iss", issuer+"/"),
		"no iss":                   claims("iss", nil),
		"iss not a string":         claims("iss", []string{issuer}),
		"wrong aud":                claims("aud", "https://other.example.com"),
		"aud list without us":      claims("aud", []string{"a", "b"}),
		"empty aud":                claims("aud", ""),
		"no aud":                   claims("aud", nil),
		"aud not strings":          claims("aud", []any{audience, 1}),
		"expired":                  claims("exp", now.Add(-2*time.Minute).Unix()),
		"no exp":                   claims("exp", nil),
		"exp a string":             claims("exp", fmt.Sprint(now.Add(time.Hour).Unix())),
		"exp negative":             claims("exp", -1),
		"exp beyond all dates":     sign("", with(map[string]any{"exp": json.Number("1e300")})),
		"nbf ahead":                claims("nbf", now.Add(5*time.Minute).Unix()),
		"nbf a string":             claims("nbf", "now"),
		"sid twice":                twice(`"sid":"s2"`),
		"sid twice, escaped":       twice(`"\u0073id":"s2"`),
		"sub twice":                twice(`"sub":"u2"`),
		"auth_time_ms twice":       twice(`"auth_time_ms":99999999999999`),
		"sid a number":             claims("sid", 1),
		"sid an object":            claims("sid", map[string]any{"$ne": ""}),
		"sid a list":               claims("sid", []string{"s1"}),
		"sid too long":             claims("sid", strings.Repeat("s", 257)),
		"sid with a NUL":           claims("sid", "s1\x00"),
		"sid half a surrogate":     sign("", strings.Replace(with(nil), `"s1"`, `"\ud800"`, 1)),
		"sid not UTF-8":            sign("", strings.Replace(with(nil), `"s1"`, "\"s\xff\"", 1)),
		"sub a number":             claims("sub", 42),
		"device a number":          claims("device_id", 42),
		"client a bool":            claims("client_id", true),
		"azp a number":             claims("azp", 1),
		"auth_time_ms a string":    claims("auth_time_ms", "1700000000000"),
		"auth_time_ms a fraction":  sign("", with(map[string]any{"auth_time_ms": json.Number("1700000000000.5")})),
		"auth_time_ms negative":    claims("auth_time_ms", -1),
		"auth_time a string":       sign("", with(map[string]any{"auth_time_ms": nil, "auth_time": "yesterday"})),
		"claims a list":            sign("", "[]"),
		"claims a string":          sign("", `"sid"`),
		"claims null":              sign("", "null"),
		"claims nothing":           sign("", ""),
		"claims and more":          sign("", with(nil)+"{}"),
		"huge":                     claims("padding", strings.Repeat("x", 17<<10)),
		"huge without a signature": strings.Repeat("A", 1<<20),
	}
	j := newJWT(t, nil)
	refuse := revocationhttp.AnswerError(revocationhttp.ErrInvalidToken)
	for name, token := range tokens {
		t.Run(name, func(t *testing.T) {
			s, exp, err := j.Parse(t.Context(), token)
			if !errors.Is(err, revocation.ErrInvalidToken) || s != (revocation.Session{}) || !exp.IsZero() {
				t.Fatalf("Parse = %+v, %v, %v, want ErrInvalidToken", s, exp, err)
			}
			if p := revocationhttp.AnswerError(err); p != refuse {
				t.Errorf("the answer differs from that of other bad tokens: %+v", p)
			}
			if len(err.Error()) > 200 || len(token) > 20 && strings.Contains(err.Error(), token) {
				t.Errorf("the error quotes: %.300s", err)
			}
		})
	}
	// The same makers make a good one.
	for name, token := range map[string]string{
		"": goodToken, "raw header": sign(`{"alg":"RS256"}`, with(nil)), "kid of a static key": sign(`{"alg":"RS256","kid":"any"}`, with(nil)),
		"typ": sign(`{"alg":"RS256","typ":"application/AT+JWT"}`, with(nil)), "aud list": claims("aud", []string{"x", audience}),
		"within leeway": claims("exp", now.Add(-30*time.Second).Unix()), "x5u is ignored": sign(`{"alg":"RS256","x5u":"http://127.0.0.1:1/"}`, with(nil)),
		"jwk is ignored": sign(`{"alg":"RS256","jwk":`+string(strangerJWK)+`}`, with(nil)),
	} {
		if _, _, err := j.Parse(t.Context(), token); err != nil {
			t.Errorf("good token %s: %v", name, err)
		}
	}
}

func TestParseSession(t *testing.T) {
	ms := time.Now().Add(-time.Hour).Truncate(time.Second).Add(123 * time.Millisecond).UTC()
	at := func(t time.Time) revocation.Session {
		return revocation.Session{Tenant: "default", ID: "s1", User: "u1", AuthTime: t}
	}
	base := map[string]any{"auth_time_ms": nil}
	set := func(pairs ...any) map[string]any {
		m := maps.Clone(base)
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	}
	num := func(format string, args ...any) json.Number { return json.Number(fmt.Sprintf(format, args...)) }
	useIAT := func(c *revocationhttp.JWTConfig) { c.DangerouslyUseIssuedAt = true }
	iat := time.Unix(1_700_000_000, 0).UTC()
	for _, tc := range []struct {
		name   string
		config func(*revocationhttp.JWTConfig)
		claims map[string]any
		want   revocation.Session
		bad    bool
	}{
		{name: "milliseconds", claims: set("auth_time_ms", ms.UnixMilli()), want: at(ms)},
		{name: "milliseconds before seconds", claims: set("auth_time_ms", ms.UnixMilli(), "auth_time", 5), want: at(ms)},
		{name: "seconds", claims: set("auth_time", ms.Unix()), want: at(ms.Truncate(time.Second))},
		{name: "fraction", claims: set("auth_time", num("%d.123", ms.Unix())), want: at(ms)},
		{name: "fraction is floored", claims: set("auth_time", num("%d.1239999999999", ms.Unix())), want: at(ms)},
		{name: "short fraction", claims: set("auth_time", num("%d.1", ms.Unix())), want: at(ms.Add(-23 * time.Millisecond))},
		{name: "exponent", claims: set("auth_time", json.Number("1.7e9")), want: at(iat)},
		{name: "iat isn't auth time", claims: set("iat", 1_700_000_000), want: at(time.Time{})},
		{name: "iat where allowed", config: useIAT, claims: set("iat", 1_700_000_000), want: at(iat)},
		{name: "auth_time before iat", config: useIAT, claims: set("iat", 1, "auth_time", 1_700_000_000), want: at(iat)},
		{name: "null is absent", claims: set("auth_time", nil, "sid", json.RawMessage("null")), want: revocation.Session{Tenant: "default", User: "u1"}},
		{name: "no sid", claims: set("sid", nil), want: revocation.Session{Tenant: "default", User: "u1"}},
		{name: "no sub", claims: set("sub", nil), want: revocation.Session{Tenant: "default", ID: "s1"}},
		{name: "Sid isn't sid", claims: set("sid", nil, "Sid", "s1", "SID", "s1"), want: revocation.Session{Tenant: "default", User: "u1"}},
		{name: "device and client_id", claims: set("device_id", "d", "client_id", "c", "azp", "z"), want: revocation.Session{Tenant: "default", ID: "s1", User: "u1", Device: "d", Client: "c"}},
		{name: "azp", claims: set("azp", "z"), want: revocation.Session{Tenant: "default", ID: "s1", User: "u1", Client: "z"}},
		{name: "own names", config: func(c *revocationhttp.JWTConfig) {
			c.Claims = revocationhttp.Claims{Session: "session_id", User: "uid", Device: "dev", Client: "app", Tenant: "org"}
		}, claims: set("session_id", "S", "uid", "U", "dev", "D", "app", "A", "org", "acme"), want: revocation.Session{Tenant: "acme", ID: "S", User: "U", Device: "D", Client: "A"}},
		{name: "fixed tenant", config: func(c *revocationhttp.JWTConfig) { c.TenantName = "acme" }, claims: set("tenant", "other"), want: revocation.Session{Tenant: "acme", ID: "s1", User: "u1"}},
		{name: "tenant claim missing", config: func(c *revocationhttp.JWTConfig) { c.Claims.Tenant = "org" }, claims: set(), bad: true},
		{name: "tenant claim wrong", config: func(c *revocationhttp.JWTConfig) { c.Claims.Tenant = "org" }, claims: set("org", "Acme/../x"), bad: true},
		{name: "no leeway", config: func(c *revocationhttp.JWTConfig) { c.Leeway = -1 }, claims: set("exp", time.Now().Add(-time.Second).Unix()), bad: true},
		{name: "no typ allowed", config: func(c *revocationhttp.JWTConfig) { c.Types = []string{"at+jwt"} }, claims: set(), bad: true},
		{name: "any issuer and audience", config: func(c *revocationhttp.JWTConfig) { c.Issuer, c.Audience = "", nil }, claims: set("iss", "x", "aud", 5), want: at(time.Time{})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := good()
			maps.Copy(c, tc.claims)
			for name, v := range tc.claims {
				if v == nil {
					delete(c, name)
				}
			}
			payload, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			got, exp, err := newJWT(t, tc.config).Parse(t.Context(), signRaw(t, jose.RS256, issuerKey(), "", string(payload)))
			if tc.bad {
				if !errors.Is(err, revocationhttp.ErrInvalidToken) {
					t.Errorf("Parse = %+v, %v, want ErrInvalidToken", got, err)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Errorf("Parse: %v, %s", err, diff)
			}
			if want := good()["exp"].(int64); exp.Unix() < want-2 || exp.Unix() > want {
				t.Errorf("exp is %v", exp)
			}
		})
	}
}

// Traps 2 and 29: a token without what revocations speak of doesn't pass, whatever else is good.
func TestMissingClaimsDoNotPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJWT(t, nil)
		g := newRig(t, revocationhttp.Config{Session: j.Session, Policy: revocationhttp.Policy{DangerouslyFailOpen: true}})
		for name, changes := range map[string]map[string]any{
			"sid": {"sid": nil}, "sub": {"sub": nil}, "auth time": {"auth_time_ms": nil}, "iat only": {"auth_time_ms": nil, "iat": time.Now().Unix()},
			"auth_time in milliseconds": {"auth_time_ms": nil, "auth_time": time.Now().UnixMilli()}, "auth_time_ms in seconds": {"auth_time_ms": time.Now().Unix()},
		} {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Authorization", "Bearer "+signRaw(t, jose.RS256, issuerKey(), "", with(changes)))
			if w := do(g.guard.Handler(ok), r); w.Code != 401 {
				t.Errorf("%s: got %d, want 401", name, w.Code)
			}
		}
		if _, n, _, _ := g.told.counts(); n != 0 {
			t.Errorf("%d passes by failing open", n)
		}
	})
}
